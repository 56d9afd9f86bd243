"""CometBFT's JSON (RPC answers, genesis documents, key files) as the types of wire/chain/header.py.

Owns: hex, base64, decimal strings and RFC 3339 times with nanoseconds, both ways where we write them too.
Refuses: JSON that lacks a member or holds another type, as WireError.
Invariant: pure; nothing here is believed, the light client checks what comes out.
"""

from __future__ import annotations

import calendar
import re
from base64 import b64decode, b64encode
from datetime import UTC, datetime
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from wire.chain.header import BlockID, Commit, CommitSig, Header, Validator, Validators
from wire.errors import WireError

if TYPE_CHECKING:
    from collections.abc import Callable

_P = ParamSpec("_P")
_R = TypeVar("_R")
_TIME = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?Z")


def _refusing(read: Callable[_P, _R]) -> Callable[_P, _R]:
    """Whatever is missing or of the wrong type in a peer's JSON is a refusal."""

    @wraps(read)
    def guarded(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        try:
            return read(*args, **kwargs)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise WireError("bad-field", f"{read.__name__}: {error!r}") from None

    return guarded


@_refusing
def time_ns(text: str) -> int:
    found = _TIME.fullmatch(text)
    if found is None:
        raise ValueError(text)
    *date, fraction = found.groups()
    year, *rest = map(int, date)
    if year == 1:  # Go's zero time; calendar begins later
        return -62_135_596_800 * 1_000_000_000
    return calendar.timegm((year, *rest)) * 1_000_000_000 + int((fraction or "").ljust(9, "0"))


def time_text(ns: int) -> str:
    seconds, nanos = divmod(ns, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{nanos:09d}Z"


@_refusing
def block_id(found: dict[str, Any]) -> BlockID:
    parts = found["parts"]
    return BlockID(bytes.fromhex(found["hash"]), int(parts["total"]), bytes.fromhex(parts["hash"]))


@_refusing
def header(found: dict[str, Any]) -> Header:
    version = found["version"]
    unhex = bytes.fromhex
    return Header(
        chain_id=_text(found["chain_id"]),
        height=int(found["height"]),
        time_ns=time_ns(found["time"]),
        last_block_id=block_id(found["last_block_id"]),
        last_commit_hash=unhex(found["last_commit_hash"]),
        data_hash=unhex(found["data_hash"]),
        validators_hash=unhex(found["validators_hash"]),
        next_validators_hash=unhex(found["next_validators_hash"]),
        consensus_hash=unhex(found["consensus_hash"]),
        app_hash=unhex(found["app_hash"]),
        last_results_hash=unhex(found["last_results_hash"]),
        evidence_hash=unhex(found["evidence_hash"]),
        proposer=unhex(found["proposer_address"]),
        block_version=int(version["block"]),
        app_version=int(version.get("app", 0)),
    )


def _text(found: Any) -> str:
    if not isinstance(found, str):
        raise TypeError(found)
    return found


@_refusing
def commit(found: dict[str, Any]) -> Commit:
    votes = (
        CommitSig(
            int(vote["block_id_flag"]),
            bytes.fromhex(vote["validator_address"]),
            time_ns(vote["timestamp"]),
            b64decode(vote["signature"] or ""),
        )
        for vote in found["signatures"]
    )
    return Commit(int(found["height"]), int(found["round"]), block_id(found["block_id"]), tuple(votes))


@_refusing
def validators(found: list[dict[str, Any]]) -> Validators:
    """From an RPC answer (`voting_power`) or a genesis document (`power`), in the order given."""
    return tuple(Validator(_ed25519(v["pub_key"]), int(v.get("voting_power") or v["power"])) for v in found)


def _ed25519(found: dict[str, str]) -> bytes:
    if found["type"] != "tendermint/PubKeyEd25519":
        raise ValueError(found["type"])
    return b64decode(found["value"])


def public_key(key: bytes) -> dict[str, str]:
    return {"type": "tendermint/PubKeyEd25519", "value": b64encode(key).decode()}


def base64_text(raw: bytes) -> str:
    return b64encode(raw).decode()


@_refusing
def transactions(found: list[str] | None) -> list[bytes]:
    return [b64decode(tx, validate=True) for tx in found or ()]
