"""A chain as a deterministic state machine: what engines drive and contracts plug into.

Owns: the order of checks that every transaction passes, the journal around each (kept or undone as a whole), results
and events, the split between `apply` (works out) and `commit` (puts in force).
Refuses: clocks, randomness, threads, storage. Time comes with the block; the signature port may use threads.
Invariants: `apply` changes nothing that `get`, `prove` or a second `apply` can see; the same blocks give the same
`app_hash`; an empty block leaves it as it is; a transaction that a contract refuses leaves nothing but its used-up
number.

How a transaction goes (apply): opened (shape) -> chain id -> the authority names the public key it must be signed
under -> signature -> the authority uses up its sequence number (kept from here on, so a refused transaction cannot
come back) -> the handler of its kind, whose writes and events are kept together or undone together.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, NamedTuple, NoReturn, Protocol

from ledger.state import Diff, Draft, Reader, Staged, State, Value
from wire import cbor
from wire.chain import tx as transaction
from wire.chain.proof import StateProof
from wire.chain.tx import SignedTx
from wire.errors import WireError


class Refused(WireError):
    """A rule of the chain says no. Reasons are short codes of the contract's own; docs/spec.md lists them."""


class Event(NamedTuple):
    """Something that happened, for pages, followers and other services. `kind` is `contract/what`."""

    kind: str
    fields: dict[str, Value]


class Result(NamedTuple):
    """What became of one transaction. `reason` is empty when it went through."""

    reason: str = ""
    detail: str = ""
    events: tuple[Event, ...] = ()

    @property
    def code(self) -> int:
        """0 done, 1 refused: what `last_results_hash` covers, together with the reason as data."""
        return 1 if self.reason else 0


class Block(NamedTuple):
    """What an engine hands over. `proposer` is a validator's 20-byte address, `hash` the block's."""

    height: int
    time_ns: int
    txs: Sequence[bytes]
    proposer: bytes = b""
    hash: bytes = b""
    names: Sequence[bytes] = ()  # SHA-256 of each transaction, where the engine has them already


class ValidatorUpdate(NamedTuple):
    key: bytes  # Ed25519
    power: int  # 0 takes it out


Place = tuple[bytes, int, int]  # account, its sequence number, the transaction's index in the block


class Applied(NamedTuple):
    results: list[Result]
    app_hash: bytes
    validator_updates: list[ValidatorUpdate]
    diff: Diff  # what a store writes before `commit`
    places: list[Place]  # where each number was used up


@dataclass
class Context:
    """What a handler knows and may do. What it writes through `state` is undone on a refusal."""

    state: Draft
    chain_id: str
    height: int
    time_ns: int
    proposer: bytes
    block_hash: bytes
    index: int = 0  # of the transaction in its block
    account: bytes = b""
    tx_id: bytes = b""  # SHA-256 of the signed content: the same under every signature
    events: list[Event] = field(default_factory=list)
    validators: dict[bytes, int] = field(default_factory=dict)
    places: list[Place] = field(default_factory=list)

    @property
    def time_s(self) -> int:
        return self.time_ns // 1_000_000_000

    def emit(self, kind: str, **fields: Value) -> None:
        self.events.append(Event(kind, fields))

    def refuse(self, reason: str, detail: str = "") -> NoReturn:
        raise Refused(reason, detail)

    def require(self, holds: bool, reason: str, detail: str = "") -> None:
        if not holds:
            raise Refused(reason, detail)

    def set_validator(self, key: bytes, power: int) -> None:
        """In force two blocks on, as CometBFT has it."""
        self.validators[key] = power


Handler = Callable[[Context, SignedTx], None]
Query = Callable[[Reader, Any], Any]
Invariant = Callable[[Draft], None]


@dataclass(frozen=True)
class Contract:
    """One contract: handlers by transaction kind, what it writes at genesis, what it answers, what must always hold."""

    name: str
    handlers: Mapping[int, Handler] = field(default_factory=dict)
    genesis: Callable[[Context, Any], None] | None = None  # gets its section of the genesis document
    queries: Mapping[str, Query] = field(default_factory=dict)  # (view, argument) -> value; pages, tools
    invariants: Sequence[Invariant] = ()  # asserted after every block that changed something
    awaits: Callable[[Reader], int] | None = None  # up to which height blocks are wanted, empty ones too


class Authority(Protocol):
    """Who may sign for an account, and which number is next. The accounts contract is one."""

    def key(self, state: Reader, tx: SignedTx) -> bytes:
        """The public key that the signature must hold under, and whose kid `tx` names. Refuses unknown accounts,
        barred ones, a kid that is not in use."""
        ...

    def sequence(self, state: Reader, account: bytes) -> int:
        """The number that the account's next transaction must carry."""
        ...

    def spend(self, ctx: Context, tx: SignedTx) -> None:
        """Writes that the number is used up."""
        ...


Claim = tuple[bytes, bytes, bytes]  # public key, signed bytes, signature
CheckSignatures = Callable[[Sequence[Claim]], Sequence[bool]]  # a batch, answered in order; may work in parallel


class Vouched(NamedTuple):
    """A transaction whose signature holds under `key`."""

    tx: SignedTx
    key: bytes


PENDING = 10_000  # how far ahead of its account a waiting transaction's number may be
VOUCHED_MAX = 100_000  # twice what an engine lets wait


class App:
    """One chain. Engines call it from one thread."""

    def __init__(
        self,
        chain_id: str,
        contracts: Sequence[Contract],
        authority: Authority,
        check_signatures: CheckSignatures,
    ) -> None:
        self.chain_id = chain_id
        self.state = State()
        self._contracts = contracts
        self._authority = authority
        self._check_signatures = check_signatures
        self._handlers = {kind: handler for contract in contracts for kind, handler in contract.handlers.items()}
        assert len(self._handlers) == sum(len(c.handlers) for c in contracts), "two contracts share a transaction kind"
        self._queries = {path: query for contract in contracts for path, query in contract.queries.items()}
        self._staged: tuple[Block, Staged] | None = None  # the block with its names
        self._vouched: OrderedDict[bytes, Vouched] = OrderedDict()  # by SHA-256 of the bytes

    # ------------------------------------------------------------ life

    @property
    def height(self) -> int:
        return self.state.height

    @property
    def app_hash(self) -> bytes:
        return self.state.root

    def genesis(self, salt: bytes, sections: Mapping[str, Any], time_ns: int) -> Diff:
        """State at height 0. `sections` are the contracts' parts of the genesis document, by name."""
        assert self.height == 0 and not self.state.rows(), "genesis comes first"
        unknown = set(sections) - {c.name for c in self._contracts}
        if unknown:
            raise WireError("unknown-field", "no contract here is called " + ", ".join(sorted(unknown)))
        self.state = State(salt)
        draft = Draft(self.state)
        ctx = Context(draft, self.chain_id, 0, time_ns, b"", b"")
        for contract in self._contracts:
            if contract.genesis is not None:
                contract.genesis(ctx, sections.get(contract.name))
        draft.keep()
        self._assert_invariants(draft)
        staged = draft.stage()
        self.state.adopt(staged, 0)
        return staged.diff()

    def load(self, salt: bytes, height: int, rows: Iterator[tuple[bytes, bytes]]) -> None:
        """Goes on from what a store or a snapshot holds; the caller compares `app_hash`."""
        self.state = State.load(salt, height, rows)
        self._staged = None

    # ------------------------------------------------------------ transactions

    def check(self, raw: bytes) -> Result:
        """Whether a block maker should take it: cheap, against the committed state, promises nothing."""
        return self.check_many([raw])[0]

    def check_many(self, raws: Sequence[bytes]) -> list[Result]:
        """`check` of a batch, its signatures checked together."""
        results = []
        for vouched in self._vouch(raws, self.state):
            if isinstance(vouched, WireError):
                results.append(Result(vouched.reason, vouched.detail))
                continue
            tx = vouched.tx
            due = self._authority.sequence(self.state, tx.account)
            ahead = 0 <= tx.sequence - due < PENDING
            results.append(Result() if ahead else Result("sequence", f"{tx.sequence}, due is {due}"))
        return results

    def turns(self) -> Callable[[bytes], int]:
        """For a block maker: asked in order for each checked transaction (by SHA-256 of its bytes), says -1 its turn is
        over, 0 it may go in here, 1 others have to go before it."""
        due: dict[bytes, int] = {}

        def turn(name: bytes) -> int:
            vouched = self._vouched.get(name)
            if vouched is None:
                return -1  # forgotten: to be checked again
            tx = vouched.tx
            wanted = due.get(tx.account)
            if wanted is None:
                wanted = self._authority.sequence(self.state, tx.account)
            if tx.sequence == wanted:
                due[tx.account] = wanted + 1
            return (tx.sequence > wanted) - (tx.sequence < wanted)

        return turn

    def _vouch(self, raws: Sequence[bytes], state: Reader) -> list[Vouched | WireError]:
        """Opens what is new and checks the signatures in one batch; what holds is remembered."""
        found: list[Vouched | WireError] = []
        waiting: list[tuple[int, bytes]] = []
        claims: list[Claim] = []
        for raw in raws:
            name = sha256(raw).digest()
            known = self._vouched.get(name)
            try:
                tx = known.tx if known else self._open(raw)
                key = self._authority.key(state, tx)
            except WireError as error:
                found.append(error)
                continue
            if known is None or known.key != key:
                waiting.append((len(found), name))
                claims.append((key, tx.signed, tx.signature))
                known = Vouched(tx, key)
            found.append(known)
        answers = self._check_signatures(claims) if claims else ()
        for (i, name), holds in zip(waiting, answers, strict=True):
            vouched = found[i]
            if holds and isinstance(vouched, Vouched):
                self._vouched[name] = vouched
            else:
                found[i] = WireError("bad-signature")
        return found

    def _open(self, raw: bytes) -> SignedTx:
        tx = transaction.open(raw)
        if tx.chain_id != self.chain_id:
            raise WireError("wrong-chain", "for " + tx.chain_id)
        if tx.kind not in self._handlers:
            raise Refused("unknown-kind", str(tx.kind))
        return tx

    # ------------------------------------------------------------ blocks

    def apply(self, block: Block) -> Applied:
        """Works a block out. Depends on committed state and block alone, and may be called again with another."""
        assert block.height == self.height + 1, f"block {block.height} on height {self.height}"
        block = block._replace(names=block.names or [sha256(raw).digest() for raw in block.txs])
        unseen = [raw for raw, name in zip(block.txs, block.names, strict=True) if name not in self._vouched]
        self._vouch(unseen, self.state)  # their signatures at once; what is said of them is said below
        draft = Draft(self.state)
        ctx = Context(draft, self.chain_id, block.height, block.time_ns, block.proposer, block.hash)
        results = []
        for ctx.index, (raw, name) in enumerate(zip(block.txs, block.names, strict=True)):
            results.append(self._run(ctx, raw, self._vouched.get(name)))
        self._assert_invariants(draft)
        staged = draft.stage()
        self._staged = (block, staged)
        updates = [ValidatorUpdate(key, power) for key, power in ctx.validators.items()]
        return Applied(results, staged.root, updates, staged.diff(), ctx.places)

    def _run(self, ctx: Context, raw: bytes, vouched: Vouched | None) -> Result:
        ctx.events = []
        validators = dict(ctx.validators)
        try:
            if vouched is None or self._authority.key(ctx.state, vouched.tx) != vouched.key:
                again = self._vouch([raw], ctx.state)[0]  # a transaction before this one may have brought the key
                if isinstance(again, WireError):
                    raise again
                vouched = again
            tx = vouched.tx
            due = self._authority.sequence(ctx.state, tx.account)
            if tx.sequence != due:
                raise Refused("sequence", f"{tx.sequence}, due is {due}")
            ctx.account = tx.account
            ctx.tx_id = sha256(tx.payload).digest()
            self._authority.spend(ctx, tx)
            ctx.state.keep()
            ctx.places.append((tx.account, tx.sequence, ctx.index))
            self._handlers[tx.kind](ctx, tx)
        except WireError as error:
            ctx.state.undo()
            ctx.validators = validators
            return Result(error.reason, error.detail)
        ctx.state.keep()
        return Result(events=tuple(ctx.events))

    def _assert_invariants(self, view: Draft) -> None:
        for contract in self._contracts:
            for invariant in contract.invariants:
                invariant(view)

    def commit(self) -> None:
        """Puts the block applied last in force. A store has written it by then."""
        assert self._staged is not None, "nothing applied"
        block, staged = self._staged
        self._staged = None
        for name in block.names:
            self._vouched.pop(name, None)
        while len(self._vouched) > VOUCHED_MAX:
            self._vouched.popitem(last=False)
        self.state.adopt(staged, block.height)

    # ------------------------------------------------------------ looking

    def awaits(self) -> int:
        """Up to which height somebody waits for blocks, empty ones too."""
        return max((c.awaits(self.state) for c in self._contracts if c.awaits), default=0)

    def query(self, path: str, argument: Any = None) -> Any:
        """A contract's answer from the committed state. Who may ask is the API's business."""
        query = self._queries.get(path)
        if query is None:
            raise Refused("unknown-query", path)
        return query(self.state, argument)

    def prove(self, key: bytes, height: int | None = None) -> tuple[bytes | None, StateProof]:
        """The value's bytes after the block of `height` (the last by default) or None, and the proof of it, which holds
        against the `app_hash` in the header of `height + 1`."""
        try:
            return self.state.prove(key, height)
        except KeyError:
            raise Refused("too-old", f"height {height} is not kept") from None

    def snapshot(self, height: int | None = None, chunk_bytes: int = 1 << 20) -> Iterator[bytes]:
        """The whole state after that block, in chunks; may run in a thread of its own while blocks go on. Beside the
        height and `app_hash` nothing more is needed to go on from it."""
        rows: list[list[bytes]] = []
        size = 0
        for key, data in self.state.rows(height):
            rows.append([key, data])
            size += len(key) + len(data) + 12
            if size >= chunk_bytes:
                yield cbor.encode(rows)
                rows, size = [], 0
        yield cbor.encode(rows)

    def restore(self, salt: bytes, height: int, app_hash: bytes, chunks: Iterable[bytes]) -> None:
        """Takes a snapshot over, if its state has that `app_hash`; otherwise this app stays as it is."""
        state = State.load(salt, height, _rows(chunks))
        if state.root != app_hash:
            raise WireError("bad-root", "the snapshot is of another state")
        self.state = state
        self._staged = None


def _rows(chunks: Iterable[bytes]) -> Iterator[tuple[bytes, bytes]]:
    last = b""
    for chunk in chunks:
        rows = cbor.decode(chunk, size=len(chunk))
        if not isinstance(rows, list):
            raise WireError("bad-type", "a chunk is an array of rows")
        for row in rows:
            if not (isinstance(row, list) and len(row) == 2 and all(isinstance(x, bytes) for x in row)):
                raise WireError("bad-type", "a row is a key and the bytes of its value")
            if row[0] <= last:
                raise WireError("key-order", "rows rise by key")
            last = row[0]
            yield row[0], row[1]
