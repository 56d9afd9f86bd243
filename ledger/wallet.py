"""A wallet's words: amounts as people write them, and what chains say as people would. Pure.

Owns: tokens and kWh to integers and back, records as lines, reasons as sentences.
Refuses: an amount finer than a thousandth, and anything that is no plain decimal number.
Invariant: integers only: no amount passes through a float.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from wire.chain.kinds import AMOUNT, SCHEDULE, TRANSACTION
from wire.errors import WireError

THOUSAND = 1_000
TOKENS, KWH = "tokens", "kWh"
CHAIN_OF = {TOKENS: TRANSACTION, KWH: SCHEDULE}
UNIT_OF = {chain: unit for unit, chain in CHAIN_OF.items()}
UNITS = {"token": TOKENS, "tokens": TOKENS, "kwh": KWH}

REASONS = {
    "insufficient": "there is not so much in this wallet",
    "unknown-account": "no such account on this chain",
    "denied": "this key is no member's of this chain: has the company approved it?",
    "barred": "this account is barred; ask the company",
    "unknown-key": "this is not the account's key in use",
    "lock-closed": "nothing crosses just now: the rate is being changed",
    "remainder": "that much does not convert without a remainder at the present rate",
    "too-late": "its time was over; nothing was moved",
    "wrong-role": "that account is not of the kind that this needs",
    "no-recovery": "no recovery waits for this account",
    "too-early": "its waiting time is not over",
}


class Held(NamedTuple):
    """What an account has: free, and on its way to the other chain."""

    free: int
    under_way: int


def amount_of(text: str) -> int:
    """Thousandths: mT of tokens, Wh of kWh."""
    whole, point, part = text.partition(".")
    digits = whole + part
    if not digits.isascii() or not digits.isdecimal() or not whole or (point and not part) or len(part) > 3:
        raise WireError("bad-field", f"{text!r}: an amount is a number like 12 or 0.125, of three decimals at most")
    amount = int(whole) * THOUSAND + int(part.ljust(3, "0"))
    if not AMOUNT.check(amount) or not amount:
        raise WireError("bad-field", f"{text!r}: an amount is above 0 and below 9,000,000,000,000")
    return amount


def unit_of(text: str) -> str:
    if text.lower() not in UNITS:
        raise WireError("bad-field", f"{text!r}: amounts are in tokens or in kWh")
    return UNITS[text.lower()]


def amount_text(amount: int, unit: str) -> str:
    whole, part = divmod(abs(amount), THOUSAND)
    number = f"{whole:,}" + (f".{part:03}".rstrip("0") if part else "")
    sign = "−" if amount < 0 else ""
    return f"{sign}{number} {'token' if unit == TOKENS and number == '1' else unit}"


def across(amount: int, unit: str, rate_mt: int, rate_wh: int) -> int:
    """What that is in the other unit, or the refusal that the chain would give."""
    up, down = (rate_wh, rate_mt) if unit == TOKENS else (rate_mt, rate_wh)
    if amount * up % down:
        raise WireError("bad-field", f"{amount_text(amount, unit)}: {REASONS['remainder']}")
    return amount * up // down


def why(reason: str, detail: str) -> str:
    if reason in REASONS:
        return REASONS[reason]
    return f"the chain refuses it: {reason} {detail}".rstrip()


def movements(records: list[dict[str, Any]], me: str, unit: str) -> list[dict[str, Any]]:
    """An account's own records, seen from it: with whom, and what came in or went out."""
    found = []
    for row in records:
        if me not in (row["from_id"], row["to_id"]):
            continue
        incoming, outgoing = row["to_id"] == me, row["from_id"] == me
        other = row["from"] if incoming else row["to"]
        found.append(
            {
                "height": row["height"],
                "unit": unit,
                "change": row["amount"] * (incoming - outgoing),
                "amount": row["amount"],
                "with": None if incoming and outgoing else other,
                "message": row["message"],
            }
        )
    return found


def movement_line(row: dict[str, Any]) -> str:
    amount = amount_text(row["amount"], row["unit"])
    if row["with"] is None:
        words = f"{amount} to or from the other chain"
    elif row["change"] > 0:
        words = f"{amount} from {row['with']}"
    else:
        words = f"{amount} to {row['with']}"
    return words + (f" – {row['message']}" if row["message"] else "")
