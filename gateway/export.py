"""What leaves the gateway as a file: readings for people and programs, evidence for anyone.

Owns: stored messages → readings; CSV, JSON lines, Parquet where pyarrow is there; a bundle of blocks.
Refuses: giving a time to a row that had none.
Invariant: a reading carries where it stands (device, row, block) and what it is marked with; a bundle holds the signed
bytes themselves.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from gateway.intake import COARSE, ROWS
from gateway.store_layout import KINDS
from gateway.store_read import Books, Message, open_rows
from wire.chain import bundle
from wire.ids import id_text
from wire.report import Coarse
from wire.rows import EVENT, EVENTS, NONE, QUALITY
from wire.units import MORE, SUSPECT

PAGE = 1_000
COLUMNS = (
    "device", "seq", "time_s", "quality", "attested", "import_wh", "export_wh", "power_w", "voltage_mv", "current_ma",
    "flags", "event", "event_value", *(name for _, name, _, _ in MORE), "suspect", "block",
)  # fmt: skip


class NoParquet(Exception):
    """pyarrow is not installed."""


def readings(
    books: Books, device: bytes | None = None, from_s: int = 0, until_s: int = 1 << 40
) -> Iterator[dict[str, Any]]:
    """Rows in the order in which they were stored, of one device or all."""
    after = 0
    while True:
        messages = books.messages(after, ROWS, PAGE)
        if not messages:
            return
        after = messages[-1].n
        for message in messages:
            if device is None or message.device == device:
                for row in rows_of(message, books.height_of(message.n)):
                    if from_s <= (row["time_s"] or 0) < until_s:
                        yield row


def rows_of(message: Message, height: int | None) -> Iterator[dict[str, Any]]:
    """A stored message's rows; a coarse report is one, at its end."""
    item, _ = open_rows(KINDS.index(message.kind), message.raw)
    shared = {
        "device": id_text(item.id),
        "quality": QUALITY[item.quality],
        "attested": int(message.kind == "attested"),
        "suspect": SUSPECT[message.suspect],
        "block": height,
    }
    blank = dict.fromkeys(COLUMNS)
    if isinstance(item, Coarse):
        imported, exported = item.last or (None, None)
        time_s = None if item.quality == NONE else item.time_s
        yield {
            **blank, **shared, "seq": item.next_seq - 1, "time_s": time_s, "import_wh": imported, "export_wh": exported,
            "event": COARSE, "event_value": item.next_seq - item.seq,
        }  # fmt: skip
        return
    time_s = item.time_s
    for place, row in enumerate(item.rows):
        time_s += row[0]
        more = row[7] if len(row) > 7 else {}
        code, value = more.get(0, (None, None)) if row[6] & EVENT else (None, None)
        yield {
            **blank, **shared, "seq": item.seq + place, "time_s": None if item.quality == NONE else time_s,
            "import_wh": row[1], "export_wh": row[2], "power_w": row[3], "voltage_mv": _phases(row[4]),
            "current_ma": _phases(row[5]), "flags": row[6], "event": None if code is None else EVENTS[code],
            "event_value": value, **{name: more.get(key) for key, name, _, _ in MORE},
        }  # fmt: skip


def _phases(value: Any) -> Any:
    return value if isinstance(value, int) else "/".join(map(str, value))


def write_csv(stream: TextIO, rows: Iterable[dict[str, Any]]) -> int:
    writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
    writer.writeheader()
    count = 0
    for row in rows:
        writer.writerow(row)
        count += 1
    return count


def write_json_lines(stream: TextIO, rows: Iterable[dict[str, Any]]) -> int:
    count = 0
    for row in rows:
        stream.write(json.dumps(row, separators=(",", ":")) + "\n")
        count += 1
    return count


def write_parquet(path: Path, rows: Iterable[dict[str, Any]]) -> int:
    try:
        pyarrow, parquet = import_module("pyarrow"), import_module("pyarrow.parquet")
    except ImportError:
        raise NoParquet("Parquet needs pyarrow: pip install pyarrow, or export csv or jsonl") from None
    texts = ("device", "quality", "voltage_mv", "current_ma", "event", "suspect")
    schema = pyarrow.schema([(name, pyarrow.string() if name in texts else pyarrow.int64()) for name in COLUMNS])
    count = 0
    with parquet.ParquetWriter(path, schema) as writer:
        for part in _parts(rows, 10_000):
            plain = [{**row, **{name: None if row[name] is None else str(row[name]) for name in texts}} for row in part]
            writer.write_table(pyarrow.Table.from_pylist(plain, schema))
            count += len(part)
    return count


def _parts(rows: Iterable[dict[str, Any]], size: int) -> Iterator[list[dict[str, Any]]]:
    part: list[dict[str, Any]] = []
    for row in rows:
        part.append(row)
        if len(part) == size:
            yield part
            part = []
    if part:
        yield part


def write_bundle(stream: BinaryIO, books: Books, public_key: bytes, name: str, first: int = 1) -> int:
    """The gateway's key, the entries it took, and its blocks from `first` on, whole."""

    def records() -> Iterator[tuple[str, list[Any]]]:
        yield "key", [public_key, name]
        for raw in books.entries():
            yield "entry", [raw]
        for height in range(first, books.tip()[0] + 1):
            yield "slave", [books.block(height).encode()]

    return bundle.write(stream, records(), f"slave blocks of gateway {name}")
