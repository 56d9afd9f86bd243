"""Random and hypothesis-made input: a WireError with a known reason, or bytes that encode as they were."""

from __future__ import annotations

import random
from typing import Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benches import _fuzz
from wire import cbor
from wire.errors import WireError

LEAVES = st.none() | st.integers(-(2**64), 2**64 - 1) | st.binary(max_size=40) | st.text(max_size=20)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.integers(-(2**64), 2**64 - 1), inner, max_size=6),
    max_leaves=30,
)


@given(VALUES)
def test_values_come_back(value: Any) -> None:
    raw = cbor.encode(value)
    assert cbor.decode(raw, depth=64) == value
    assert cbor2.loads(raw) == value


@given(st.binary(max_size=64))
def test_bytes_are_read_in_one_way_or_refused(raw: bytes) -> None:
    try:
        value = cbor.decode(raw)
    except WireError:
        return
    assert cbor.encode(value) == raw
    assert cbor2.loads(raw) == value


@given(VALUES, st.data())
def test_a_flipped_bit_is_refused_or_another_value(value: Any, data: st.DataObject) -> None:
    raw = bytearray(cbor.encode(value))
    bit = data.draw(st.integers(0, 8 * len(raw) - 1))
    raw[bit >> 3] ^= 1 << (bit & 7)
    try:
        other = cbor.decode(bytes(raw), depth=64)
    except WireError:
        return
    assert cbor.encode(other) == raw


@pytest.mark.parametrize("seed", range(3))
def test_random_input(seed: int) -> None:
    """A sample of what `./tallygrid bench wire --fuzz` does a million times."""
    assert _fuzz.run(random.Random(seed), 3_000) == []
