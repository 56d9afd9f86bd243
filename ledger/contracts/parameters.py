"""The chain's parameters: every number that people may agree on, in one table.

Owns: the table of parameters and their values.
Refuses: names and values that the table does not have, changes of what is fixed.

Rules:
- A parameter has its default until genesis or a transaction says otherwise; a transaction comes from a company, on the
  main chain from a registrar.
- A value lies between the table's bounds. What is marked fixed is set at genesis and never again.
- Every change is a transaction and an event. (The rate of the lock is no parameter: contracts/lock.py.)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from ledger.app import Context, Contract, Refused
from ledger.contracts.shelf import on
from ledger.state import Reader
from wire.chain import kinds
from wire.chain.kinds import EVERY, SCHEDULE, SISTERS

DAY = 86_400


class Parameter(NamedTuple):
    name: str
    chains: tuple[str, ...]
    default: int
    low: int
    high: int
    fixed: bool = False


TABLE = (
    Parameter("recover_s", EVERY, 7 * DAY, 0, 365 * DAY),  # in which the old key can object
    Parameter("confirmations", SISTERS, 1, 1, 1_000),  # c of the lock, there and back
    Parameter("trusting_s", SISTERS, 14 * DAY, 60, 365 * DAY),  # how long a header of the sister is trusted
    Parameter("drift_s", SISTERS, 10, 0, DAY),  # how far the sister's clock may be ahead
    Parameter("headers_kept", SISTERS, 256, 2, 100_000),  # of each other chain, the latest
    Parameter("records_kept", SISTERS, 10_000, 1, 1 << 32),  # business records in the state; the others are events
    Parameter("unit_wh", (SCHEDULE,), 1_000, 1, 1_000_000, fixed=True),
    Parameter("k", (SCHEDULE,), 10, 1, 1_000),
    Parameter("entry_margin", (SCHEDULE,), 1, 0, 1_000),
    Parameter("units_per_user", (SCHEDULE,), 2, 0, 1_000),
    Parameter("one_way", (SCHEDULE,), 1, 0, 1),
    Parameter("lease_s", (SCHEDULE,), 900, 1, DAY),
    Parameter("claim_s", (SCHEDULE,), 7 * DAY, 1, 365 * DAY),
    Parameter("fresh_s", (SCHEDULE,), 3_600, 1, 365 * DAY),  # how old a meter's last row may be when its user orders
    Parameter("orders_max", (SCHEDULE,), 16, 1, 10_000),  # of one user
    Parameter("class_ppm", (SCHEDULE,), 10_000, 0, 500_000),  # what a user's meter may show less than was sent
    Parameter("step_wh", (SCHEDULE,), 1, 0, 1_000),  # of a register, allowed at each end of a grant
    Parameter("period_s", (SCHEDULE,), DAY, 1, 365 * DAY),
    Parameter("grants_kept", (SCHEDULE,), 10_000, 1, 1 << 32),  # closed ones in the state
)
BY_NAME = {one.name: one for one in TABLE}


def key(name: str) -> bytes:
    return b"parameter/" + name.encode()


def get(view: Reader, name: str) -> int:
    value = view.get(key(name))
    if value is None:
        return BY_NAME[name].default
    assert isinstance(value, int)
    return value


def contract(chain: str, require_governor: Callable[[Context], None]) -> Contract:
    table = {one.name: one for one in TABLE if chain in one.chains}

    def write(ctx: Context, name: str, value: int) -> None:
        one = table.get(name)
        if one is None:
            raise Refused("unknown-parameter", name)
        ctx.require(one.low <= value <= one.high, "out-of-range", f"{name}: {one.low} to {one.high}")
        ctx.state.put(key(name), value)
        ctx.emit("parameters/set", name=name, value=value)

    def genesis(ctx: Context, section: Any) -> None:
        """[[name, value], …]"""
        for name, value in section or ():
            write(ctx, name, value)

    def change(ctx: Context, body: kinds.SetParameter) -> None:
        require_governor(ctx)
        ctx.require(body.name not in table or not table[body.name].fixed, "fixed", body.name)
        write(ctx, body.name, body.value)

    def show(view: Reader, _argument: Any) -> dict[str, int]:
        return {name: get(view, name) for name in table}

    return Contract(
        "parameters",
        handlers=dict([on(kinds.SetParameter, change)]),
        genesis=genesis,
        queries={"parameters": show},
    )
