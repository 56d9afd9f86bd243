"""CometBFT's JSON: times to the nanosecond, and nothing but WireError from what is no answer."""

import json
from pathlib import Path

import pytest

from ledger.engines import comet_json
from ledger.engines.comet_rpc import Rpc, RpcError
from wire.errors import WireError

RECORDED = json.loads((Path(__file__).parents[1] / "vectors" / "comet_headers.json").read_text())["blocks"][0]


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00:00.1Z", 100_000_000),
        ("2026-11-21T10:33:05.691259587Z", 1_795_257_185_691_259_587),
        ("0001-01-01T00:00:00Z", -62_135_596_800 * 10**9),
    ],
)
def test_times(text, ns):
    assert comet_json.time_ns(text) == ns
    if ns > 0:
        assert comet_json.time_ns(comet_json.time_text(ns)) == ns


@pytest.mark.parametrize(
    "text", ["", "now", "2026-11-21 10:33:05Z", "2026-11-21T10:33:05", "2026-13-21T10:33:05Z", None, 5]
)
def test_no_times(text):
    with pytest.raises(WireError):
        comet_json.time_ns(text)


def without(found, name):
    return {k: v for k, v in found.items() if k != name}


@pytest.mark.parametrize("part", ["header", "commit"])
def test_a_missing_or_bent_member_is_refused(part):
    whole, read = RECORDED["signed_header"][part], getattr(comet_json, part)
    read(whole)
    for name in whole:
        for bad in (without(whole, name), whole | {name: None}, whole | {name: {"x": 1}}, whole | {name: ["x"]}):
            with pytest.raises(WireError):
                read(bad)
    with pytest.raises(WireError):
        read(None)


@pytest.mark.parametrize("bad", [None, [{}], [{"pub_key": {"type": "secp256k1", "value": ""}, "power": "1"}], ["x"], 5])
def test_no_validators(bad):
    with pytest.raises(WireError):
        comet_json.validators(bad)


def test_transactions():
    assert comet_json.transactions(None) == [] and comet_json.transactions(["AAE="]) == [b"\x00\x01"]
    for bad in (["*"], [5], "*"):
        with pytest.raises(WireError):
            comet_json.transactions(bad)


def test_a_node_that_is_not_there():
    with pytest.raises(RpcError):
        Rpc(1).call("status")
