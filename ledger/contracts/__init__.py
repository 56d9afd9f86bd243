"""The contracts of the three chains: one file each, its rules at the top.

Owns: which contracts a chain has, in the order in which genesis runs them.
Refuses: a kind of chain that is none of the three.
Invariants: a contract reads other contracts' rows through their functions; what must hold after a block is asserted.
"""

from __future__ import annotations

from ledger.app import Contract
from ledger.contracts import (
    accounts,
    acquisition,
    clients,
    dispatch,
    lock,
    parameters,
    registry,
    rights,
    settlement,
    slaves,
    supply,
    tokens,
)
from wire.chain.kinds import MAIN, SCHEDULE, TRANSACTION

AUTHORITY = accounts.Authority()


def of(chain: str) -> list[Contract]:
    """The contracts of a sort of chain: "main", "transaction" or "schedule"."""
    common = [accounts.CONTRACT, parameters.contract(chain, accounts.require_governor)]
    if chain == MAIN:
        return [*common, registry.MAIN, slaves.CONTRACT]
    if chain == TRANSACTION:
        return [*common, tokens.CONTRACT, clients.CONTRACT, lock.contract(chain), supply.TRANSACTION]
    assert chain == SCHEDULE, chain
    return [
        *common,
        rights.CONTRACT,
        clients.CONTRACT,
        lock.contract(chain),
        registry.SCHEDULE,
        dispatch.CONTRACT,
        settlement.CONTRACT,
        supply.SCHEDULE,
        acquisition.CONTRACT,
    ]
