"""Keys in order, whatever is added and removed, across many runs."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger import keyorder
from ledger.keyorder import KeyOrder

KEYS = st.binary(max_size=3)


@pytest.mark.parametrize("run", [2, 5, keyorder.RUN])
@given(moves=st.lists(st.tuples(st.booleans(), KEYS), max_size=120), prefix=KEYS)
@settings(max_examples=60, deadline=None)
def test_it_is_a_sorted_set(run, moves, prefix):
    order, model = KeyOrder(), set()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keyorder, "RUN", run)
        for adds, key in moves:
            if adds:
                order.add(key)
                model.add(key)
            elif key in model:
                order.remove(key)
                model.remove(key)
    assert list(order.scan(b"")) == sorted(model)
    assert list(order.scan(prefix)) == sorted(key for key in model if key.startswith(prefix))
    assert all(len(run_) <= run for run_ in order._runs)
