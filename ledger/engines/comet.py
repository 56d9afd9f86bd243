"""A member of a consortium: our app behind CometBFT, the two started, watched and ended together.

Owns: the ABCI socket, the node's process, handing transactions to its mempool and again when they got lost.
Refuses: to go on alone: when the node ends, the engine ends, and the node ends when its app does.
Invariant: what a receipt names was decided by more than two thirds and is on this member's disk.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import ParamSpec, TypeVar

from ledger.app import App
from ledger.engines import abci
from ledger.engines.abci import Frames, Request
from ledger.engines.base import BaseEngine, recover
from ledger.engines.comet_app import CometApp
from ledger.engines.comet_node import Node, NodeError, socket_path
from ledger.engines.comet_rpc import Rpc, RpcError
from ledger.engines.pool import Waiting
from ledger.genesis import Genesis
from ledger.light import LightBlock
from ledger.snapshots import Snapshots
from ledger.store import Block, Store, StoreError
from wire.errors import WireError

log = logging.getLogger(__name__)

_P = ParamSpec("_P")
_R = TypeVar("_R")

AGAIN_S = 5.0  # a transaction in no block after so long is handed over again: a mempool forgets with its node
SNAPSHOT_EVERY = 1_000  # blocks
READ_BYTES = 1 << 20


class AbciServer:
    """CometBFT's four connections. Answers stand in the order of requests; slow ones run in a thread of their own."""

    def __init__(self, app: CometApp, checker: ThreadPoolExecutor) -> None:
        self._app = app
        self._checker = checker
        self._maker = ThreadPoolExecutor(1, thread_name_prefix="block")
        self._server: asyncio.Server | None = None
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def start(self, path: Path) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._serve, path)

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        self._maker.shutdown()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        frames = Frames()
        try:
            while data := await reader.read(READ_BYTES):
                requests = [abci.read_request(frame) for frame in frames.feed(data)]
                for name, run in groupby(requests, key=lambda request: request.name):
                    for answer in await self._answers(name, list(run)):
                        writer.write(answer)
                await writer.drain()
        except (ConnectionError, asyncio.CancelledError):
            pass  # the node ended, which its process tells, or this process does
        except Exception as error:  # the top of this connection: the node is told, and everything ends
            writer.write(abci.exception(str(error)))
            with suppress(ConnectionError):
                await writer.drain()
            if not self.failed.done():
                self.failed.set_exception(error)
        finally:
            writer.close()

    async def _answers(self, name: str, run: list[Request]) -> list[bytes]:
        loop, app = asyncio.get_running_loop(), self._app
        if name == "check_tx":
            bodies = await loop.run_in_executor(self._checker, app.check_txs, run)
        elif name == "commit":
            await loop.run_in_executor(self._maker, app.write)
            bodies = [app.adopt()]  # on the loop's thread, as queries and proofs are
        elif name in ("finalize_block", "prepare_proposal", "process_proposal"):
            bodies = [await loop.run_in_executor(self._maker, app.answer, request) for request in run]
        else:
            bodies = [app.answer(request) for request in run]
        return [abci.response(name, body) for body in bodies]


class CometEngine(BaseEngine):
    def __init__(
        self, app: App, store: Store, genesis: Genesis, node: Node, rpc: Rpc, snapshot_every: int = SNAPSHOT_EVERY
    ) -> None:
        super().__init__(app, store, genesis)
        self._node = node
        self._rpc = rpc
        self._talker = ThreadPoolExecutor(1, thread_name_prefix="rpc")
        self._snapshots = Snapshots(node.home / "snapshots")
        self._snapshot_every = snapshot_every
        self._tasks: list[asyncio.Task[None]] = []
        self._telling: set[asyncio.Task[None]] = set()
        self._server: AbciServer | None = None

    # ------------------------------------------------------------ life

    async def start(self) -> None:
        """Returns once the node answers; it may still be catching up."""
        recover(self.app, self.store, self.genesis)
        app = CometApp(self.app, self.store, self.genesis, self._snapshots, self._committed)
        self._server = AbciServer(app, self._checker)
        await self._server.start(socket_path(self._node.home))
        self._node.start()
        self._tasks = [asyncio.create_task(self._watch(self._server.failed)), asyncio.create_task(self._resend())]
        while True:
            self._raise()
            with suppress(RpcError):
                await self._ask(self._rpc.height)
                return
            await asyncio.sleep(0.1)

    async def stop(self) -> None:
        await self._end(StoreError("the engine was stopped"))
        for task in self._tasks:
            task.cancel()
        await asyncio.get_running_loop().run_in_executor(None, self._node.stop)
        if self._server is not None:
            await self._server.stop()
        self._talker.shutdown()
        self._checker.shutdown()
        self._rpc.close()

    async def _watch(self, failed: asyncio.Future[None]) -> None:
        """Both or none: the app's failure ends the node, the node's end fails the engine."""
        while not failed.done() and self._node.exit_status() is None:
            await asyncio.wait([failed], timeout=0.2)
        failure = failed.exception() if failed.done() else None
        status = self._node.exit_status()
        words = f"the node ended with status {status}: {self._node.last_words()}" if failure is None else f"{failure!r}"
        await self._end(NodeError(words))
        await asyncio.get_running_loop().run_in_executor(None, self._node.stop)

    # ------------------------------------------------------------ transactions and blocks

    async def _taken(self, waiting: Sequence[Waiting]) -> None:
        if waiting:
            with suppress(RpcError):  # what did not arrive is handed over again
                await self._ask(self._rpc.broadcast, [w.raw for w in waiting])

    async def _resend(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(AGAIN_S)
            stale = self._pool.stale(self.app.turns(), loop.time() - AGAIN_S)
            await self._taken(stale)

    def _committed(self, block: Block) -> None:
        self._pool.settle(block.height, block.txs, block.results)
        loop = asyncio.get_running_loop()
        if block.height % self._snapshot_every == 0:
            loop.run_in_executor(None, self._snapshot, block.height)
        telling = loop.create_task(self._tell())
        self._telling.add(telling)  # a task that nobody holds may be forgotten
        telling.add_done_callback(self._telling.discard)

    def _snapshot(self, height: int) -> None:
        try:
            self._snapshots.make(self.app, height)
        except (OSError, KeyError) as error:  # a full disk, or so slow that the height is not kept any more
            log.warning("no snapshot of height %d: %r", height, error)

    def want(self, height: int) -> None:
        """Blocks come by themselves: at once after one that changed something, else after the idle time."""

    async def light_block(self, height: int, known_height: int | None = None) -> LightBlock | None:
        if not 0 < height <= self.app.height:
            return None
        try:
            return await self._ask(self._rpc.light_block, height, known_height)
        except (RpcError, WireError):
            return None

    async def _ask(self, call: Callable[_P, _R], *args: _P.args, **kwargs: _P.kwargs) -> _R:
        return await asyncio.get_running_loop().run_in_executor(self._talker, partial(call, *args, **kwargs))
