"""Everything of the page but its sources: what is folded, what is shown, and who is served.

Owns: how pages, hub and web application belong together. The service feeds it from a pilot, tests by hand.
Refuses: I/O.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from starlette.applications import Starlette

from hardware.site.model import Site
from ledger.client import ChainClient
from pilot.page.app import Page, create_app
from pilot.page.boards import Boards
from pilot.page.chains import Chains
from pilot.page.chainspage import ChainsPage
from pilot.page.hub import Hub
from pilot.page.node import Node
from pilot.page.street import StreetPage


@dataclass(frozen=True)
class Website:
    boards: Boards
    node: Node
    street: StreetPage
    chains: ChainsPage
    hub: Hub
    app: Starlette


def build(
    site: Site,
    chain_ids: dict[str, str],
    accounts: dict[str, bytes],
    clients: Mapping[str, ChainClient],
    now_ms: Callable[[], int],
    speed: float = 1.0,
) -> Website:
    """`accounts` are the participants' by name, `clients` the observer's on each chain."""
    assert site.ledger is not None
    boards = Boards(site.utc_offset_min)
    folded = Chains(chain_ids, site.ledger.confirmations)
    node = Node(clients, folded)
    street = StreetPage(site, boards, {}, node, folded, accounts, speed)
    chains = ChainsPage(folded, node, boards, street.name, site.utc_offset_min, site.ledger.unit_wh)
    hub = Hub({"street": street.view, "chains": chains.view}, now_ms)
    pages = [
        Page("street", "Street", "/", {"street": street.street, "cards": street.cards}),
        Page("chains", "Chains", "/chains", {"chains": chain_ids}),
    ]
    app = create_app(hub, pages, site.title, site.utc_offset_min)
    return Website(boards, node, street, chains, hub, app)
