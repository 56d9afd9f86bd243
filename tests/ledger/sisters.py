"""Small chains in one process, without storage or waiting: for tests of contracts and of what crosses between them."""

from __future__ import annotations

from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger import contracts
from ledger.app import App, Event, Result
from ledger.contracts import lock
from ledger.engines.sealer import Sealer
from ledger.genesis import Genesis
from ledger.light import LightBlock
from ledger.signatures import SignatureChecker
from ledger.store import Block
from pilot.experiments.devices import SoftDevice
from wire.chain import kinds, tx
from wire.chain.header import Validator
from wire.chain.keys import PrivateKey
from wire.chain.kinds import MAIN, SCHEDULE, TRANSACTION, Kind

START_S = 1_750_000_000
NS = 1_000_000_000
CHECK = SignatureChecker(1)
IDS = {MAIN: "test-main", TRANSACTION: "test-transaction", SCHEDULE: "test-schedule"}


def key(name: str) -> PrivateKey:
    return PrivateKey.derive("test", name)


def kid(name: str) -> bytes:
    return key(name).kid


class Chain:
    """One App with a one-validator sealer; a block a call."""

    def __init__(self, world: World, sort: str, sections: dict[str, Any]) -> None:
        self.world = world
        self.sort = sort
        self.id = IDS[sort]
        self.app = App(self.id, contracts.of(sort), contracts.AUTHORITY, CHECK)
        self.genesis = Genesis(self.id, START_S * NS, validators(sort), sections=sections)
        self.app.genesis(b"", self.genesis.sections, self.genesis.time_ns)
        self._sealer = Sealer(self.app, self.genesis, validator(sort))
        self._last: Block | None = None
        self.lights: dict[int, LightBlock] = {}
        self.events: list[Event] = []

    def take_over(self, app: App) -> None:
        """Goes on with the same state in another process, as it were."""
        self.app = app
        self._sealer = Sealer(app, self.genesis, validator(self.sort))
        if self._last is not None:
            self._sealer.follows(self._last)

    def make(self, *raws: bytes) -> list[Result]:
        sealed = self._sealer.seal(raws, self.world.now_ns)
        self.app.commit()
        self._sealer.follows(sealed.block)
        self._last = sealed.block
        assert sealed.block.light is not None
        self.lights[sealed.block.height] = LightBlock.decode(sealed.block.light)
        for result in sealed.applied.results:
            self.events.extend(result.events)
        return sealed.applied.results

    def sign(self, who: str, body: Kind, account: bytes | None = None, ahead: int = 0) -> bytes:
        account = kid(who) if account is None else account
        number = contracts.AUTHORITY.sequence(self.app.state, account) + ahead
        return tx.sign(key(who), self.id, account, number, body.NUMBER, body.to_map())

    def send(self, who: str, body: Kind) -> Result:
        return self.make(self.sign(who, body))[0]

    def ok(self, who: str, body: Kind) -> list[Event]:
        result = self.send(who, body)
        assert not result.reason, (result.reason, result.detail)
        return list(result.events)

    def no(self, who: str, body: Kind) -> str:
        before = self.app.query("balance", b"pool") if self.sort != MAIN else 0
        result = self.send(who, body)
        assert result.reason, "was not refused"
        assert self.sort == MAIN or self.app.query("balance", b"pool") == before
        return result.reason

    def balance(self, who: str | bytes) -> int:
        return int(self.app.query("balance", kid(who) if isinstance(who, str) else who))

    def height(self) -> int:
        return self.app.height

    def proof(self, name: bytes, height: int | None = None) -> list[Any]:
        """[header's height, value, proof] of a key, the header being made if there is none yet."""
        under = self.app.height + 1 if height is None else height
        while self.app.height < under:
            self.make()
        value, proof = self.app.prove(name, under - 1)
        return [under, value, proof.encode()]

    def light(self, height: int, known_height: int) -> LightBlock:
        block = self.lights[height]
        return block if height == known_height + 1 else block._replace(known=self.genesis.validators)


def validator(sort: str) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(sort.encode().ljust(32, b"-"))


def validators(sort: str) -> tuple[Validator, ...]:
    return (Validator(validator(sort).public_key().public_bytes_raw(), 1),)


def client_row(sort: str) -> list[Any]:
    return [IDS[sort], START_S * NS, [list(one) for one in validators(sort)]]


class World:
    """The sister chains with a company, two users and what else a test names; time goes only as a test says."""

    def __init__(self, tokens: dict[str, int], rights: dict[str, int], **more: Any) -> None:
        self.now_ns = START_S * NS
        people = [[name, role, key(name).public_key] for name, role in more.get("roles", {}).items()]
        parameters = [[name, value] for name, value in more.get("parameters", {}).items()]
        own = {name for name, role in more.get("roles", {}).items() if role == "station"}
        money = [row for row in people if row[0] not in own]
        rate = more.get("rate", (1, 1))
        self.transaction = Chain(
            self,
            TRANSACTION,
            {
                "accounts": money,
                "tokens": [more.get("token_pool", sum(rights.values())), [[kid(n), v] for n, v in tokens.items()]],
                "clients": [client_row(SCHEDULE)],
                "lock": [IDS[SCHEDULE], *rate],
                "parameters": [row for row in parameters if row[0] in ("confirmations", "trusting_s", "recover_s")],
            },
        )
        self.schedule = Chain(
            self,
            SCHEDULE,
            {
                "accounts": people,
                "rights": [more.get("right_pool", sum(tokens.values())), [[kid(n), v] for n, v in rights.items()]],
                "clients": [client_row(TRANSACTION), client_row(MAIN)],
                "lock": [IDS[TRANSACTION], *rate],
                "parameters": parameters,
                "registry": [IDS[MAIN], more.get("devices", [])],
                "dispatch": more.get("lines", []),
            },
        )

    def with_main(self, **roles: str) -> Chain:
        """The main chain too, with these accounts."""
        people = [[name, role, key(name).public_key] for name, role in roles.items()]
        return Chain(self, MAIN, {"accounts": people})

    def pass_s(self, seconds: int) -> None:
        self.now_ns += seconds * NS

    def other(self, chain: Chain) -> Chain:
        return self.schedule if chain is self.transaction else self.transaction

    def show_header(self, source: Chain, target: Chain, height: int | None = None, by: str = "relay") -> int:
        """Brings a header of `source` to `target`; the newest, or that one."""
        if height is None:
            source.make()
            height = source.height()
        rows = target.app.query("clients")
        known = next(row["heights"] for row in rows if row["chain"] == source.id)
        if height not in known:
            below = max(one for one in known if one < height)
            block = source.light(height, below).encode()
            target.ok(by, kinds.Header(chain=source.id, block=block))
        return height

    def unlock(self, source: Chain, number: int, by: str = "relay") -> Result:
        target = self.other(source)
        for _ in range(target.app.query("parameters")["confirmations"]):
            source.make()
        height = self.show_header(source, target)
        proof = source.proof(lock.LOCKS.key(number), height)
        return target.send(by, kinds.Unlock(lock=number, proof=proof))

    def acknowledge(self, source: Chain, number: int, by: str = "relay") -> Result:
        target = self.other(source)
        for _ in range(source.app.query("parameters")["confirmations"]):
            target.make()
        height = self.show_header(target, source)
        proof = target.proof(lock.RECEIPTS.key(number), height)
        return source.send(by, kinds.Acknowledge(lock=number, proof=proof))

    def refund(self, source: Chain, number: int, by: str = "relay") -> Result:
        target = self.other(source)
        height = self.show_header(target, source)
        _, value, proof = target.proof(lock.RECEIPTS.key(number), height)
        assert value is None
        return source.send(by, kinds.Refund(lock=number, height=height, proof=proof))


def device(world: World, name: str) -> SoftDevice:
    """A meter or station whose key is software."""
    return SoftDevice(key(name), lambda: world.now_ns // NS)
