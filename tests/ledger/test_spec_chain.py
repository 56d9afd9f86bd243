"""docs/spec-chain.md is what the code does: its examples, bytes and all."""

import re
from pathlib import Path

from ledger import genesis
from ledger.app import Result
from ledger.engines.sealer import MAX_BYTES
from ledger.light import Params
from ledger.state import State
from wire.chain import header as comet
from wire.chain import merkle, proof
from wire.chain.header import Validator

SPEC = (Path(__file__).parents[2] / "docs" / "spec-chain.md").read_text()


def example(name):
    found = re.search(rf"^\| {re.escape(name)} \| `([0-9a-f]+)` \|$", SPEC, re.M)
    assert found, name
    return bytes.fromhex(found[1])


def test_state_and_its_proofs():
    state = State(b"salt")
    state.adopt(state.stage({b"a/1": 5, b"a/2": (1, b"\xff")}), 1)
    assert state.root == example("root")
    for key, value, name in (
        (b"a/2", b"\x82\x01\x41\xff", "proof of `a/2`, value `820141ff`"),
        (b"a/3", None, "proof that `a/3` has none"),
    ):
        data, shown = state.prove(key)
        assert (data, shown.encode()) == (value, example(name))
        proof.verify(example("root"), key, value, proof.decode(example(name)))


def test_genesis():
    document = genesis.decode(example("genesis, section `accounts`: [1]"))
    validators = (Validator(bytes(range(32)), 10),)
    assert document == ("demo", 1_700_000_000_000_000_000, validators, b"salt", {"accounts": [1]})
    assert document.public(example("root")) == example("public")
    chain_id, start = genesis.trusted(example("public"))
    assert chain_id == "demo" and start.next_validators_hash == comet.validators_hash(validators)


def test_small_facts():
    refused = Result("sequence", "any detail")
    raw = comet.result_bytes(refused.code, refused.reason.encode())
    assert f"`refused: sequence` is `{raw.hex()}`" in SPEC and comet.result_bytes(Result().code, b"") == b""
    assert f"at most {MAX_BYTES:,} bytes" in SPEC
    params = Params("c", 0)
    assert f"less than {params.max_drift_ns // 10**9} s ahead" in SPEC
    assert f"more than {params.trust_num}/{params.trust_den} of the power known" in SPEC
    tree = merkle.Tree([b"%d" % i for i in range(6)])
    merkle.verify_inclusion(tree.root, b"0", 0, 5, tree.inclusion(0))  # why index and size are no facts
