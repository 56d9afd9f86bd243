"""Amounts as people write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger import wallet
from ledger.wallet import KWH, TOKENS
from ledger.wallet_keys import Place
from wire.errors import WireError


@given(st.integers(1, (1 << 53) - 1), st.sampled_from([TOKENS, KWH]))
def test_what_is_shown_is_what_can_be_typed(amount, unit):
    number = wallet.amount_text(amount, unit).split()[0].replace(",", "")
    assert wallet.amount_of(number) == amount


@pytest.mark.parametrize(
    "text",
    ["", "0", "0.000", "-1", "+1", "1.", ".5", "1,5", "1.0001", "1e3", "١", "1_000", " 1", "nan", "9007199254741"],
)
def test_what_is_no_amount(text):
    with pytest.raises(WireError):
        wallet.amount_of(text)


def test_one_token_is_no_tokens():
    assert wallet.amount_text(1_000, TOKENS) == "1 token"
    assert wallet.amount_text(1_500_250, KWH) == "1,500.25 kWh"
    assert wallet.amount_text(0, TOKENS) == "0 tokens"


@given(st.integers(1, 10**9), st.integers(1, 5_000), st.integers(1, 5_000))
def test_there_and_back_is_the_same_or_refused(amount, rate_mt, rate_wh):
    try:
        energy = wallet.across(amount, TOKENS, rate_mt, rate_wh)
    except WireError:
        assert amount * rate_wh % rate_mt
        return
    assert wallet.across(energy, KWH, rate_mt, rate_wh) == amount


@pytest.mark.parametrize("name", ["", "../ann", "a/b", ".hidden", "a" * 33])
def test_a_wallets_name_stays_in_its_folder(tmp_path, name):
    with pytest.raises(WireError):
        Place(tmp_path, name)
