"""The light client against headers of a real CometBFT network, and against all that a forger might change in them.

tests/vectors/comet_headers.json was recorded from four validators with the toy chain: one power changes (block 3, in
force at 5), one validator is stopped (its votes are absent from block 6 on), one transaction is refused.
"""

import json
from base64 import b64decode
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger import genesis, light
from ledger.app import Block
from ledger.engines import comet_json
from ledger.light import LightBlock, LightClient, Params
from tests.ledger.toychain import START, USERS, new_app
from wire import cbor
from wire.chain import header as comet
from wire.chain import merkle
from wire.chain.header import BlockID, Commit, CommitSig, Header, Validator
from wire.errors import WireError

RECORDED = json.loads((Path(__file__).parents[1] / "vectors" / "comet_headers.json").read_text())
GENESIS = genesis.decode(bytes.fromhex(RECORDED["genesis"]))
CHAIN = GENESIS.chain_id
LAST, MANY = max(b["height"] for b in RECORDED["blocks"]), RECORDED["block_of_txs"]
BLOCKS = {b["height"]: b for b in RECORDED["blocks"]}
DAY_NS = 86_400 * 1_000_000_000
PARAMS = Params(CHAIN, trusting_period_ns=14 * DAY_NS)


@cache
def recorded(height):
    b = BLOCKS[height]
    return LightBlock(
        comet_json.header(b["signed_header"]["header"]),
        comet_json.commit(b["signed_header"]["commit"]),
        comet_json.validators(b["validators"]),
    )


def start():
    return genesis.trusted(GENESIS.public(b""))[1]


NOW = recorded(LAST).header.time_ns + DAY_NS


def reason(call, *args):
    with pytest.raises(WireError) as refused:
        call(*args)
    return refused.value.reason


# ---------------------------------------------------------------- a real network


@pytest.mark.parametrize("height", BLOCKS)
def test_bytes_and_hashes_are_cometbfts(height):
    block = recorded(height)
    raw = BLOCKS[height]
    named = comet_json.block_id(raw["signed_header"]["commit"]["block_id"])
    txs = comet_json.transactions(raw["txs"])
    assert block.header.hash() == named.hash
    assert comet.block_id(block.header, txs, comet_json.commit(raw["last_commit"])) == named
    assert comet_json.commit(raw["last_commit"]).hash() == block.header.last_commit_hash
    assert comet.data_hash(txs) == block.header.data_hash
    assert comet.in_order(block.validators) == block.validators
    assert comet.consensus_hash(4 << 20, -1) == block.header.consensus_hash
    assert LightBlock.decode(block.encode()) == block


def test_the_chain_from_genesis_block_by_block():
    client = LightClient(PARAMS, start())
    for height in range(1, LAST + 1):
        assert client.update(recorded(height), NOW).height == height
    assert client.latest.height == LAST


def test_heights_may_be_skipped_where_enough_of_the_known_power_signed():
    client = LightClient(PARAMS, start())
    client.update(recorded(1), NOW)
    skipped = recorded(LAST)._replace(known=recorded(1).validators)
    assert client.update(skipped, NOW) == light.trust(recorded(LAST).header)
    between = recorded(5)._replace(known=recorded(1).validators)
    assert client.update(between, NOW) == client.at(5)
    assert client.update(recorded(6), NOW) == client.at(6)


def test_transactions_and_results_of_the_recorded_chain():
    header, after = light.trust(recorded(MANY).header), light.trust(recorded(MANY + 1).header)
    for shown in RECORDED["tx_proofs"]:
        raw, p = b64decode(shown["tx"]), shown["proof"]
        index, total, path = int(p.get("index", 0)), int(p["total"]), [b64decode(a) for a in p["aunts"]]
        light.check_tx(header, raw, index, total, path)
        for bad in (
            (raw + b"x", index, total, path),
            (raw, index + 1, total, path),
            (raw, index, total, [*path, path[0]]),
            (raw, index, total, path[:-1]),
            (raw, index, total, [bytes(32), *path[1:]]),
        ):
            assert reason(light.check_tx, header, *bad) == "bad-proof"
    results = [(r["code"], b64decode(r["data"] or "")) for r in BLOCKS[MANY]["results"]]
    assert results[-1] == (1, b"insufficient") and comet.results_hash(results) == after.last_results_hash
    tree = merkle.Tree([comet.result_bytes(*result) for result in results])
    for i, (code, data) in enumerate(results):
        light.check_result(after, code, data, i, len(results), tree.inclusion(i))
        assert reason(light.check_result, after, 1 - code, data, i, len(results), tree.inclusion(i)) == "bad-proof"


def test_a_failed_transaction_is_included_and_its_state_is_not():
    """Inclusion is no success: the refused payment is under data_hash, the state it wanted is not under app_hash."""
    app = new_app()
    txs = comet_json.transactions(BLOCKS[MANY]["txs"])
    assert app.app_hash == recorded(1).header.app_hash
    applied = app.apply(Block(1, recorded(MANY).header.time_ns, txs))
    app.commit()
    after = light.trust(recorded(MANY + 1).header)
    assert after.app_hash == applied.app_hash
    key = b"a/" + USERS[3].kid
    value, proof = app.prove(key)
    light.check_state(after, key, value, proof)
    rich = cbor.encode([0, USERS[3].public_key, START + 10**6])
    assert reason(light.check_state, after, key, rich, proof) == "bad-proof"


# ---------------------------------------------------------------- a network of our own, to sign what a forger would


@dataclass
class Net:
    """Validators whose keys we hold: they sign whatever a test wants."""

    powers: tuple[int, ...]
    chain_id: str = "net"
    seed: int = 0

    def __post_init__(self):
        secrets = [Ed25519PrivateKey.from_private_bytes(bytes([self.seed, i]) * 16) for i in range(len(self.powers))]
        pairs = {Validator(k.public_key().public_bytes_raw(), p): k for k, p in zip(secrets, self.powers, strict=True)}
        self.validators = comet.in_order(pairs)
        self.keys = [pairs[v] for v in self.validators]

    def header(self, height, *, next_net=None, **changes):
        mine = comet.validators_hash(self.validators)
        following = comet.validators_hash((next_net or self).validators)
        blank = merkle.EMPTY_ROOT
        made = Header(
            self.chain_id, height, height * 1_000, BlockID(bytes(32), 1, bytes(32)), blank, blank, mine, following,
            blank, b"a" * 32, blank, blank, self.validators[0].address,
        )  # fmt: skip
        return made._replace(**changes)

    def block(self, height, *, flags=None, known=(), **changes):
        header = self.header(height, **changes)
        return LightBlock(header, self.commit(header, flags), self.validators, known)

    def commit(self, header, flags=None, chain_id=None):
        flags = flags or [comet.COMMIT] * len(self.validators)
        bare = Commit(header.height, 0, BlockID(header.hash(), 1, bytes(32)), ())
        votes = []
        for flag, validator, key in zip(flags, self.validators, self.keys, strict=True):
            vote = CommitSig(flag, validator.address, header.time_ns + 5)
            signature = key.sign(bare.sign_bytes(chain_id or self.chain_id, vote))
            votes.append(CommitSig(flag) if flag == comet.ABSENT else vote._replace(signature=signature))
        return bare._replace(signatures=tuple(votes))


NET = Net((10, 10, 10, 10))
OTHER = Net((10, 10, 10, 10), seed=9)
P = Params("net", trusting_period_ns=1_000_000, max_drift_ns=500)
TRUSTED = light.trust(NET.header(5))
C, A, N = comet.COMMIT, comet.ABSENT, comet.NIL


def verify(block, now=7_000, trusted=TRUSTED, params=P):
    return light.verify(params, trusted, block, now)


def test_adjacent_and_skipping():
    assert verify(NET.block(6)) == light.trust(NET.header(6))
    assert verify(NET.block(9, known=NET.validators), now=9_000).height == 9


@pytest.mark.parametrize(
    ("powers", "flags", "passes"),
    [
        ((10, 10, 10, 10), (C, C, C, A), True),
        ((10, 10, 10, 10), (C, C, C, N), True),
        ((10, 10, 10, 10), (C, C, A, A), False),
        ((10, 10, 10, 10), (C, C, N, N), False),
        ((10, 10, 10), (C, C, A), False),  # exactly two thirds are not more than two thirds
        ((11, 10, 10), (C, C, A), True),
        ((10, 10, 10), (C, C, N), False),
        ((7, 1, 1, 1), (C, A, A, A), True),
        ((2, 1), (C, A), False),
        ((1,), (C,), True),
        ((1,), (N,), False),
        ((1,), (A,), False),
    ],
)
def test_more_than_two_thirds_of_the_power(powers, flags, passes):
    net = Net(powers)
    block = net.block(6, flags=flags)
    trusted = light.trust(net.header(5))
    if passes:
        assert verify(block, trusted=trusted).height == 6
    else:
        assert reason(verify, block, 7_000, trusted) == "no-quorum"


def test_skipping_needs_more_than_a_third_of_the_known_power():
    """`old` is what we know; in `new` only some of it still has power. A third exactly is not enough."""
    for stay, passes in ((1, False), (2, True)):
        old = Net((10, 10, 10))
        new = Net((10, 10, 10), seed=3)
        new.keys = old.keys[:stay] + new.keys[stay:]
        merged = [Validator(k.public_key().public_bytes_raw(), 10) for k in new.keys]
        by_key = dict(zip(merged, new.keys, strict=True))
        new.validators = comet.in_order(merged)
        new.keys = [by_key[v] for v in new.validators]
        block = new.block(9, known=old.validators)
        trusted = light.trust(old.header(5))
        if passes:
            assert verify(block, 9_000, trusted).height == 9
        else:
            assert reason(verify, block, 9_000, trusted) == "no-trust"


def edit(block, **changes):
    """The commit with its first vote changed."""
    first, *rest = block.commit.signatures
    return block._replace(commit=block.commit._replace(signatures=(first._replace(**changes), *rest)))


def with_commit(block, **changes):
    return block._replace(commit=block.commit._replace(**changes))


B = NET.block(6)
VOTES = B.commit.signatures
TWICE = Net((10, 10, 10, 10))
TWICE.validators = (*TWICE.validators[:1] * 2, *TWICE.validators[2:])
TWICE.keys = [TWICE.keys[0]] * 2 + TWICE.keys[2:]

FORGED = {
    "another chain": (Net((10,) * 4, chain_id="other").block(6), "wrong-chain"),
    "the same height": (NET.block(5), "not-later"),
    "an earlier height": (NET.block(4), "not-later"),
    "height 0": (NET.block(0), "not-later"),
    "a negative height": (NET.block(-1), "not-later"),
    "far ahead of our clock": (NET.block(6, time_ns=7_500), "future"),
    "validators of the message's own": (OTHER.block(6), "bad-validators"),
    "validators of the message's own, skipping": (
        OTHER.block(9, known=OTHER.validators, time_ns=6_500),
        "bad-validators",
    ),
    "strangers, with the known set beside them": (OTHER.block(9, known=NET.validators, time_ns=6_500), "no-trust"),
    "skipping without the known set": (NET.block(9, time_ns=6_500), "bad-validators"),
    "no validators": (B._replace(validators=()), "bad-validators"),
    "one validator less": (B._replace(validators=B.validators[:-1]), "bad-validators"),
    "powers raised": (B._replace(validators=tuple(v._replace(power=99) for v in B.validators)), "bad-validators"),
    "a set in another order": (B._replace(validators=B.validators[::-1]), "bad-validators"),
    "a header changed after the votes": (B._replace(header=B.header._replace(app_hash=b"b" * 32)), "bad-commit"),
    "a commit of another height": (with_commit(B, height=7), "bad-commit"),
    "a commit on another block": (with_commit(B, block_id=BlockID(bytes(32), 1, bytes(32))), "bad-commit"),
    "another part set": (with_commit(B, block_id=B.commit.block_id._replace(parts_total=2)), "bad-signature"),
    "another round": (with_commit(B, round=1), "bad-signature"),
    "no votes": (with_commit(B, signatures=()), "bad-commit"),
    "a vote missing": (with_commit(B, signatures=VOTES[:-1]), "bad-commit"),
    "a vote too many": (with_commit(B, signatures=(*VOTES, VOTES[0])), "bad-commit"),
    "a vote in two places": (with_commit(B, signatures=(VOTES[0], *VOTES[:3])), "bad-commit"),
    "votes in another order": (with_commit(B, signatures=VOTES[::-1]), "bad-commit"),
    "one validator twice in the set": (TWICE.block(6), "double-vote"),
    "a signature changed": (edit(B, signature=bytes(64)), "bad-signature"),
    "a signature cut": (edit(B, signature=VOTES[0].signature[:63]), "bad-signature"),
    "no signature": (edit(B, signature=b""), "bad-signature"),
    "a vote's time changed": (edit(B, time_ns=1), "bad-signature"),
    "a nil vote called a vote": (edit(NET.block(6, flags=[N, C, C, C]), flag=C), "bad-signature"),
    "a vote called absent": (edit(B, flag=A), "bad-commit"),
    "an unknown flag": (edit(B, flag=7), "bad-commit"),
    "flag 0": (edit(B, flag=0), "bad-commit"),
    "votes for another chain": (B._replace(commit=NET.commit(B.header, chain_id="other")), "bad-signature"),
    "no power": (Net((10, 10, 10, 0)).block(6), "bad-validators"),
    "negative power": (Net((10, 10, 10, -5)).block(6), "bad-validators"),
    "more power than there may be": (Net((1 << 60, 1 << 60, 1)).block(6), "bad-validators"),
    "a known set where none is needed": (NET.block(6, known=NET.validators), "bad-validators"),
    "time that stands still": (NET.block(6, time_ns=5_000), "conflict"),
    "time that falls": (NET.block(6, time_ns=4_999), "conflict"),
}


@pytest.mark.parametrize("name", FORGED)
def test_forged(name):
    block, wanted = FORGED[name]
    # where the forger chose the set, let the trusted header name it: what is tested is the next line of defence
    own = name in ("one validator twice in the set", "no power", "negative power", "more power than there may be")
    trusted = TRUSTED._replace(next_validators_hash=comet.validators_hash(block.validators)) if own else TRUSTED
    assert reason(verify, block, 7_000, trusted) == wanted


def test_expired_trust_believes_nothing():
    at_the_end = TRUSTED.time_ns + P.trusting_period_ns
    block = NET.block(6, time_ns=at_the_end)
    assert verify(block, now=at_the_end - 1).height == 6
    assert reason(verify, block, at_the_end) == "expired"
    assert verify(block, now=None).height == 6, "a bundle is checked by order alone"


def test_validators_change_only_as_announced():
    change = NET.block(6, next_net=OTHER)
    trusted = verify(change)
    assert verify(OTHER.block(7), trusted=trusted).height == 7
    assert reason(verify, NET.block(7), 7_000, trusted) == "bad-validators"


def test_two_headers_at_one_height_freeze_the_client():
    client = LightClient(P, TRUSTED)
    client.update(NET.block(6), 9_000)
    assert client.update(NET.block(6), 9_000) == client.latest, "the same header again is no conflict"
    client.update(NET.block(8, known=NET.validators), 9_000)
    assert reason(client.update, OTHER.block(8, known=NET.validators, app_hash=b"c" * 32), 9_000) == "no-trust"
    assert not client.frozen, "what no quorum signed freezes nobody"
    assert reason(client.update, NET.block(8, known=NET.validators, app_hash=b"c" * 32), 9_000) == "conflict"
    assert client.frozen
    assert reason(client.update, NET.block(9), 9_000) == "frozen"


@pytest.mark.parametrize("time_ns", [8_000, 8_001, 5_999, 6_000])
def test_time_against_height_freezes_the_client(time_ns):
    client = LightClient(P, TRUSTED)
    client.update(NET.block(6), 9_000)
    client.update(NET.block(8, known=NET.validators), 9_000)
    assert reason(client.update, NET.block(7, time_ns=time_ns), 9_000) == "conflict"
    assert client.frozen


def test_nothing_below_the_first_trusted_header():
    client = LightClient(P, TRUSTED)
    assert reason(client.update, NET.block(5), 9_000) == "not-later"
    assert reason(client.update, NET.block(3), 9_000) == "not-later"


def test_every_bit_of_a_light_block_counts():
    """Nothing that differs in a bit passes, and nothing but WireError comes out of it."""
    raw = NET.block(6).encode()
    for bit in range(8 * len(raw)):
        flipped = bytearray(raw)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(WireError):
            verify(LightBlock.decode(bytes(flipped)))


def test_every_truncation_of_a_light_block_is_refused():
    raw = NET.block(6).encode()
    for size in range(len(raw)):
        with pytest.raises(WireError):
            verify(LightBlock.decode(raw[:size]))
    with pytest.raises(WireError):
        LightBlock.decode(raw + b"\x00")
