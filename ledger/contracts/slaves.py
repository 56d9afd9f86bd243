"""Slave blocks on the main chain: what gateways sealed, and how far each device is in it.

Owns: each gateway's last block, each device's place.
Refuses: blocks out of order, of another key, or whose body is not what the header says.

Rules:
- A block is taken once for each (gateway, height): heights without a gap, each linked to the one before, the header
  under the gateway's key, count, size and tree the body's. Anyone may carry it; it is the gateway's by its signature.
- A second block of the last height that differs is refused as a fork: the gateway runs twice.
- Reports and coarse reports in a block move the position of their device (next row, head) if the device belongs to this
  gateway, its signature holds and they follow; anything else is sealed all the same and moves nothing.
- A gateway that takes a device over begins at that position.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ledger.app import Context, Contract, Refused
from ledger.contracts import devices, signed
from ledger.contracts.shelf import Shelf, on
from ledger.state import Reader
from wire import envelope, report
from wire import rows as wire_rows
from wire.chain import kinds, slave
from wire.errors import WireError
from wire.ids import id_bytes, id_text
from wire.report import Coarse
from wire.rows import HEAD_START


class Sealed(NamedTuple):
    """A gateway's last block."""

    height: int
    hash: bytes
    root: bytes
    urgency: int
    time_s: int
    main_height: int


class Place(NamedTuple):
    """A device's position in what was sealed."""

    next_seq: int
    head: bytes
    gateway: bytes


SEALED = Shelf("sealed", Sealed)
PLACES = Shelf("place", Place)


def _slave_block(ctx: Context, body: kinds.SlaveBlock) -> None:
    block = slave.decode(body.block)
    header = block.header
    row = devices.in_force(ctx.state, header.gateway)
    ctx.require(row.role == devices.GATEWAY, "wrong-role", "no gateway")
    block.check_signature(signed.OneOf(row.keys))
    last = SEALED.get(ctx.state, header.gateway) or Sealed(0, slave.START, b"", 0, 0, 0)
    if header.height == last.height and header.hash() != last.hash:
        raise Refused("fork", f"another block {header.height} of {id_text(header.gateway)}")
    ctx.require(header.height > last.height, "already", str(header.height))
    block.check_link(last.height, last.hash)
    block.check_body()
    sealed = Sealed(header.height, header.hash(), header.root, header.urgency, header.time_s, ctx.height)
    SEALED.put(ctx.state, header.gateway, sealed)
    moved = sum(_place(ctx, header.gateway, message) for message in block.body)
    ctx.emit(
        "slaves/block",
        gateway=header.gateway,
        height=header.height,
        urgency=header.urgency,
        messages=header.count,
        reports=moved,
    )


def _place(ctx: Context, gateway: bytes, message: bytes) -> bool:
    """Whether this message moved its device on. Whatever else a gateway sealed is no reason to refuse its block."""
    try:
        device, first, head, next_seq, next_head, domain = _range(message)
        row = devices.in_force(ctx.state, device)
        if row.gateway != gateway:
            return False
        devices.open_word(ctx.state, device, message, domain)
    except WireError:
        return False
    at = PLACES.get(ctx.state, device) or Place(0, HEAD_START, b"")
    follows = (first, head) == (at.next_seq, at.head) or (domain == Coarse.DOMAIN and first <= at.next_seq < next_seq)
    if not follows and at.gateway:
        return False
    PLACES.put(ctx.state, device, Place(next_seq, next_head, gateway))
    return True


def _range(message: bytes) -> tuple[bytes, int, bytes, int, bytes, str]:
    """Device, first row and head, next row and head, and domain of a report of any sort."""
    payload = envelope.split(message).payload
    fields = payload[0] & 0x1F if payload else 0
    if fields in (7, 9):
        rows = report.decode(payload, attested=fields == 9)
        domain = report.ATTESTED_DOMAIN if fields == 9 else wire_rows.DOMAIN
        return rows.id, rows.seq, rows.head, rows.next_seq, rows.next_head, domain
    coarse = Coarse.decode(payload)
    return coarse.id, coarse.seq, coarse.head, coarse.next_seq, coarse.next_head, Coarse.DOMAIN


def _show_gateways(view: Reader, _argument: Any) -> list[dict[str, Any]]:
    return [{"gateway": id_text(gateway), **row._asdict()} for gateway, row in SEALED.all(view)]


def _show_place(view: Reader, argument: Any) -> list[Any] | None:
    """`query position`: [next row, head, gateway] of a device, or null."""
    row = PLACES.get(view, id_bytes(argument) if isinstance(argument, str) else argument)
    return None if row is None else [row.next_seq, row.head, row.gateway]


CONTRACT = Contract(
    "slaves",
    handlers=dict([on(kinds.SlaveBlock, _slave_block)]),
    queries={"gateways": _show_gateways, "position": _show_place},
)
