"""The light client: from one trusted header to any later one, and from a header to what it commits to.

Owns: the rules by which a header, its commit and its validators are believed; what stands under a header.
Refuses: facts from the message: validator sets, chain id and trust come from what the caller stored, bound by hash.
Invariants: pure, and the same for both engines; "more than" is strict everywhere; a client that has seen two headers
for one height, or times out of order, is frozen and says nothing more.

The state after block H is under the `app_hash` of header H + 1, and so are the results of H.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import NamedTuple

from wire.chain import header as comet
from wire.chain import merkle
from wire.chain import proof as state_proof
from wire.chain import protobuf as pb
from wire.chain.header import Commit, CommitSig, Header, Validator, Validators
from wire.chain.proof import StateProof
from wire.errors import WireError

VALIDATORS_MAX = 256


class Params(NamedTuple):
    """What a client was set up with. Integers and text: it may stand in a chain's state."""

    chain_id: str
    trusting_period_ns: int
    max_drift_ns: int = 10_000_000_000
    trust_num: int = 1  # a header that skips heights needs more than this part of the power we know
    trust_den: int = 3


class Trusted(NamedTuple):
    """What is kept of a header that was verified. Integers and bytes: it may stand in a chain's state."""

    height: int
    time_ns: int
    hash: bytes
    app_hash: bytes
    data_hash: bytes
    last_results_hash: bytes
    next_validators_hash: bytes


class LightBlock(NamedTuple):
    """A header with its evidence. `known` are the validators that stand behind the trusted header's
    `next_validators_hash`, needed where heights are skipped."""

    header: Header
    commit: Commit
    validators: Validators
    known: Validators = ()

    def encode(self) -> bytes:
        return (
            pb.message(1, self.header.encode())
            + pb.message(2, self.commit.encode())
            + b"".join(pb.message(3, v.encode()) for v in self.validators)
            + b"".join(pb.message(4, v.encode()) for v in self.known)
        )

    @classmethod
    def decode(cls, raw: bytes) -> LightBlock:
        m = pb.Reader(raw)
        block = cls(
            Header.decode(m.data(1)),
            Commit.decode(m.data(2)),
            tuple(map(Validator.decode, m.repeated(3))),
            tuple(map(Validator.decode, m.repeated(4))),
        )
        if block.encode() != raw:
            raise WireError("not-minimal", "a light block in another form than its own")
        return block


def trust(header: Header) -> Trusted:
    """The header as a fact: for a genesis, or for what `verify` has just passed."""
    return Trusted(
        header.height,
        header.time_ns,
        header.hash(),
        header.app_hash,
        header.data_hash,
        header.last_results_hash,
        header.next_validators_hash,
    )


def genesis(chain_id: str, time_ns: int, validators: Iterable[Validator], app_hash: bytes = b"") -> Trusted:
    """Trust in a chain's genesis document: height 0, from which header 1 is the adjacent one."""
    known = comet.validators_hash(comet.in_order(validators))
    return Trusted(0, time_ns, sha256(chain_id.encode()).digest(), app_hash, b"", b"", known)


def verify(params: Params, trusted: Trusted, block: LightBlock, now_ns: int | None) -> Trusted:
    """The header as trusted, or WireError. `now_ns` is None where only order counts (a bundle, years later)."""
    header = block.header
    # (1) it is that chain's, and later than what we trust
    if header.chain_id != params.chain_id:
        raise WireError("wrong-chain", f"{header.chain_id}, {params.chain_id} wanted")
    if header.height <= trusted.height:
        raise WireError("not-later", f"height {header.height} on {trusted.height}")
    # (2) both are near enough to now
    if now_ns is not None:
        if header.time_ns >= now_ns + params.max_drift_ns:
            raise WireError("future", "further ahead of us than clocks may drift")
        if trusted.time_ns + params.trusting_period_ns <= now_ns:
            raise WireError("expired", "the trusted header is older than the trusting period")
    # (3) the validators are the header's own
    if comet.validators_hash(block.validators) != header.validators_hash:
        raise WireError("bad-validators", "not the set under the header's validators_hash")
    # (4) more than two thirds of their power signed exactly this header
    voters = check_commit(params.chain_id, header, block.commit, block.validators)
    # (5) they follow from those we trust
    if header.height == trusted.height + 1:
        if block.known:
            raise WireError("bad-validators", "a known set where none is needed")
        if header.validators_hash != trusted.next_validators_hash:
            raise WireError("bad-validators", "not the set that the trusted header names as the next")
    else:
        if comet.validators_hash(block.known) != trusted.next_validators_hash:
            raise WireError("bad-validators", "the known set is not under the trusted header")
        got, total = (sum(v.power for v in vs) for vs in ([v for v in block.known if v.key in voters], block.known))
        if got * params.trust_den <= total * params.trust_num:
            raise WireError("no-trust", f"{got} of {total}")
    # (6) time rises with height; where a quorum signed otherwise, the chain is at odds with itself
    found = trust(header)
    if contradicts(found, [trusted]):
        raise WireError("conflict", "its time is not above the trusted header's")
    return found


def check_commit(chain_id: str, header: Header, commit: Commit, validators: Sequence[Validator]) -> set[bytes]:
    """Every vote is in its validator's place, every signature holds, more than 2/3 of the power is for this header.
    Returns the keys that voted for it."""
    if commit.height != header.height or header.height <= 0:
        raise WireError("bad-commit", f"of height {commit.height}, the header's is {header.height}")
    if commit.block_id.hash != header.hash():
        raise WireError("bad-commit", "on another header")
    if len(commit.signatures) != len(validators) or not 0 < len(validators) <= VALIDATORS_MAX:
        raise WireError("bad-commit", f"{len(commit.signatures)} votes of {len(validators)} validators")
    if len({v.key for v in validators}) != len(validators):
        raise WireError("double-vote", "a validator stands in the set twice")
    total = sum(v.power for v in validators)
    if min(v.power for v in validators) <= 0 or total > comet.POWER_MAX:
        raise WireError("bad-validators", "a power outside what CometBFT allows")
    voters = set()
    for vote, validator in zip(commit.signatures, validators, strict=True):
        if _check_vote(chain_id, commit, vote, validator):
            voters.add(validator.key)
    got = sum(v.power for v in validators if v.key in voters)
    if got * 3 <= total * 2:
        raise WireError("no-quorum", f"{got} of {total}")
    return voters


def _check_vote(chain_id: str, commit: Commit, vote: CommitSig, validator: Validator) -> bool:
    """Whether a well-formed vote is for the block."""
    if vote.flag == comet.ABSENT:
        if vote != CommitSig(comet.ABSENT):
            raise WireError("bad-commit", "an absent vote carries something")
        return False
    if vote.flag not in (comet.COMMIT, comet.NIL) or vote.address != validator.address:
        raise WireError("bad-commit", "a vote in another validator's place")
    if not comet.holds(validator.key, commit.sign_bytes(chain_id, vote), vote.signature):
        raise WireError("bad-signature", "vote of " + vote.address.hex())
    return vote.flag == comet.COMMIT


def contradicts(found: Trusted, known: Iterable[Trusted]) -> bool:
    """Whether two headers cannot both be of an honest chain: one height and two hashes, or time against height."""
    for other in known:
        low, high = sorted((found, other))
        if low.height == high.height:
            if low.hash != high.hash:
                return True
        elif high.time_ns < low.time_ns + (low.height > 0):  # the first block carries the time of the genesis
            return True
    return False


class LightClient:
    """Headers of one chain as far as they are verified. The lock contract keeps the same in its chain's state."""

    def __init__(self, params: Params, start: Trusted) -> None:
        self.params = params
        self.frozen = False
        self._known = {start.height: start}
        self._heights = [start.height]

    @property
    def latest(self) -> Trusted:
        return self._known[self._heights[-1]]

    def at(self, height: int) -> Trusted | None:
        return self._known.get(height)

    def update(self, block: LightBlock, now_ns: int | None) -> Trusted:
        """Takes a header, or one that is between or the same as known ones. A contradiction freezes the client."""
        if self.frozen:
            raise WireError("frozen", self.params.chain_id)
        place = bisect_left(self._heights, block.header.height)
        if place == 0:
            raise WireError("not-later", f"height {block.header.height} is below the first trusted one")
        try:
            found = verify(self.params, self._known[self._heights[place - 1]], block, now_ns)
            if contradicts(found, [self._known[height] for height in self._heights[place : place + 1]]):
                raise WireError("conflict", f"height {found.height}")
        except WireError as error:
            self.frozen = error.reason == "conflict"
            raise
        if found.height not in self._known:
            self._known[found.height] = found
            self._heights.insert(place, found.height)
        return found


# ---------------------------------------------------------------- what a header commits to


def check_tx(header: Trusted, raw: bytes, index: int, size: int, path: Sequence[bytes]) -> None:
    """`raw` is in that block. Its index, the number of transactions, and whether it succeeded are not shown by this."""
    merkle.verify_inclusion(header.data_hash, sha256(raw).digest(), index, size, path)


def check_result(after: Trusted, code: int, data: bytes, index: int, size: int, path: Sequence[bytes]) -> None:
    """A result of block H, by header H + 1."""
    merkle.verify_inclusion(after.last_results_hash, comet.result_bytes(code, data), index, size, path)


def check_state(after: Trusted, key: bytes, value: bytes | None, proof: StateProof) -> None:
    """A key's value (or its absence) after block H, by header H + 1."""
    state_proof.verify(after.app_hash, key, value, proof)
