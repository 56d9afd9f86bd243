"""`tallygrid verify`: checks a bundle from public keys alone, offline, and names the first thing that is wrong.

Owns: the steps, what is told of each, the trust file.
Refuses: a chain or a registrar that the reader was not told to trust.
Steps: (1) each chain's genesis is the trusted one; (2) every header is signed by the validators that follow; (3) every
transaction's signature holds and leads to the state that the next header names; so (4) every transfer across and every
unit paid was proven, and balances are recomputed; (5) every slave block in the main chain is linked, signed and whole;
(6) every reading is signed by its device, without a gap or a repeat.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ledger import genesis
from ledger.app import Result
from ledger.contracts.devices import DEVICES
from ledger.evidence import Replay, genesis_hash
from ledger.signatures import SignatureChecker
from wire import envelope, report, rows
from wire.chain import bundle, slave, tx
from wire.chain.keys import KeyRing
from wire.chain.kinds import MAIN, SlaveBlock
from wire.errors import WireError
from wire.ids import id_text

PROGRESS_EVERY = 500


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = "Checks a bundle offline. Nothing in it is believed but what follows from the trusted hashes."
    parser.add_argument("bundle", type=Path, help="the file that `export` or the pilot wrote")
    parser.add_argument(
        "--trust", type=Path, help="file with one trusted genesis hash (hex) a line; without it they are only shown"
    )


def run(args: argparse.Namespace) -> int:
    check = Check(None if args.trust is None else read_trust(args.trust))
    try:
        check.run(args.bundle.read_bytes())
    except WireError as error:
        told = {"valid": False, "wrong": str(error), "step": check.step, **check.told()}
        print(json.dumps(told) if args.json else f"WRONG at {check.step}: {error}")
        return 1
    finally:
        check.close()
    print(json.dumps({"valid": True, **check.told()}) if args.json else "\n".join(check.lines()))
    return 0


def read_trust(path: Path) -> set[bytes]:
    """Genesis hashes, one a line; what follows a hash on its line is for people."""
    trusted: set[bytes] = set()
    for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
        words = line.split()
        if words and not (len(words[0]) == 64 and set(words[0]) <= set("0123456789abcdef")):
            raise WireError("bad-field", f"{path}, line {number}: a genesis hash is 64 hex digits")
        trusted.update(bytes.fromhex(word) for word in words[:1])
    return trusted


@dataclass
class Check:
    trusted: set[bytes] | None
    step: str = "reading the bundle"
    replays: dict[str, Replay] = field(default_factory=dict)
    hashes: dict[str, bytes] = field(default_factory=dict)
    blocks: dict[bytes, tuple[int, bytes]] = field(default_factory=dict)  # gateway -> height, hash of its last block
    positions: dict[bytes, tuple[int, bytes]] = field(default_factory=dict)  # device -> next row, head
    readings: int = 0
    attested: int = 0
    coarse: int = 0
    transfers: int = 0
    units: int = 0

    def __post_init__(self) -> None:
        self._checker = SignatureChecker()

    def close(self) -> None:
        self._checker.close()

    def run(self, data: bytes) -> None:
        for number, (kind, values) in enumerate(bundle.read(data)):
            if kind == "genesis":
                self._genesis(*_shape(values, str, str, bytes))
            elif kind == "header":
                chain, raw = _shape(values, str, bytes)
                self.step = f"headers of {chain}"
                self._replay(chain).header(raw)
            elif kind == "tx":
                chain, height, raw, code = _shape(values, str, int, bytes, int)
                self._replay(chain).tx(height, raw, code)
            if number % PROGRESS_EVERY == 0:
                print(f"\r{number} records", end="", file=sys.stderr, flush=True)
        print("\r", end="", file=sys.stderr)
        for replay in self.replays.values():
            replay.finish()
        if not self.replays:
            raise WireError("missing-field", "no chain in this bundle")

    def _replay(self, chain: str) -> Replay:
        if chain not in self.replays:
            raise WireError("missing-field", f"{chain} has no genesis in this bundle")
        return self.replays[chain]

    def _genesis(self, chain: str, sort: str, raw: bytes) -> None:
        self.step = f"genesis of {chain}"
        found = genesis_hash(raw)
        if self.trusted is not None and found not in self.trusted:
            raise WireError("unknown-key", f"genesis {found.hex()} is none of the trusted ones")
        document = genesis.decode(raw)
        if document.chain_id != chain or chain in self.replays:
            raise WireError("bad-field", f"genesis of {document.chain_id} under the name {chain}")
        self.hashes[chain] = found
        hears = self._main if sort == MAIN else self._sister
        self.replays[chain] = Replay(sort, document, self._checker, hears)

    def _sister(self, raw: bytes, result: Result) -> None:
        for event in result.events:
            self.transfers += event.kind == "lock/unlocked"
            self.units += event.kind == "settlement/unit"

    # ------------------------------------------------------------ steps 5 and 6

    def _main(self, raw: bytes, result: Result) -> None:
        found = tx.open(raw)
        if found.kind != SlaveBlock.NUMBER or result.reason:
            return
        block = slave.decode(SlaveBlock.of(found.body).block)
        header = block.header
        self.step = f"slave block {header.height} of {id_text(header.gateway)}"
        block.check_link(*self.blocks.get(header.gateway, (0, slave.START)))
        block.check_body()
        block.check_signature(self._keys(header.gateway))
        self.blocks[header.gateway] = (header.height, header.hash())
        for message in block.body:
            self._message(message)

    def _keys(self, device: bytes) -> KeyRing:
        """A device's keys as the main chain's registry has them."""
        main = next(replay for replay in self.replays.values() if replay.sort == MAIN)
        row = DEVICES.get(main.app.state, device)
        ring = KeyRing()
        for key in row.keys if row is not None else ():
            ring.add(key)
        return ring

    def _message(self, raw: bytes) -> None:
        signed = envelope.split(raw)
        for domain, item in _rows(signed.payload):
            signer = item.gateway if isinstance(item, report.Report) and item.gateway else item.id
            signed.check(self._keys(signer), domain)
            self._in_place(item)
            if isinstance(item, report.Report):
                self.readings += len(item.rows)
                self.attested += len(item.rows) if item.gateway else 0
            else:
                self.coarse += 1
            self.positions[item.id] = (item.next_seq, item.next_head)

    def _in_place(self, item: report.Report | report.Coarse) -> None:
        """It goes on where its device's last one ended; a coarse report may begin before that, never behind."""
        next_seq, head = self.positions.get(item.id, (item.seq, item.head))
        goes_on = (item.seq, item.head) == (next_seq, head)
        if not goes_on and not (isinstance(item, report.Coarse) and item.seq < next_seq < item.next_seq):
            raise WireError("bad-link", f"row {item.seq} of {id_text(item.id)}: {next_seq} is due")

    # ------------------------------------------------------------ what is told

    def told(self) -> dict[str, Any]:
        return {
            "chains": {
                chain: {
                    "height": replay.app.height,
                    "transactions": replay.txs,
                    "app_hash": replay.app.app_hash.hex(),
                    "genesis": self.hashes[chain].hex(),
                    "trusted": self.trusted is not None,
                }
                for chain, replay in self.replays.items()
            },
            "readings": self.readings,
            "attested_readings": self.attested,
            "coarse_reports": self.coarse,
            "slave_blocks": sum(height for height, _ in self.blocks.values()),
            "devices": len(self.positions),
            "transfers": self.transfers,
            "units_paid": self.units,
        }

    def lines(self) -> Iterator[str]:
        told = self.told()
        for chain, facts in told["chains"].items():
            trust = "genesis trusted" if facts["trusted"] else f"genesis {facts['genesis']}: compare it yourself"
            yield f"{chain}: {facts['height']} blocks, {facts['transactions']} transactions applied again; {trust}"
        yield f"{told['transfers']} transfers across and {told['units_paid']} units paid, each with its proof"
        yield f"{told['slave_blocks']} slave blocks linked, signed and whole"
        attested = f" ({told['attested_readings']} by the gateway that read them)" if told["attested_readings"] else ""
        yield f"{told['readings']} readings of {told['devices']} devices, each signed{attested}, no gap, no repeat"
        yield "everything holds"


def _rows(payload: bytes) -> Iterator[tuple[str, report.Report | report.Coarse]]:
    """The report that this is and its domain, if it is one: other messages prove nothing about readings."""
    ways: tuple[tuple[str, Callable[[bytes], report.Report | report.Coarse]], ...] = (
        (rows.DOMAIN, report.decode),
        (report.ATTESTED_DOMAIN, lambda raw: report.decode(raw, attested=True)),
        (report.Coarse.DOMAIN, report.Coarse.decode),
    )
    for domain, decode in ways:
        try:
            found = decode(payload)
        except WireError:
            continue
        yield domain, found
        return


def _shape(values: list[Any], *types: type) -> list[Any]:
    if [type(value) for value in values] != list(types):
        raise WireError("bad-type", "a record is not of its kind's shape")
    return values
