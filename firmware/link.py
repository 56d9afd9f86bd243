"""The link to the broker: connects, stays connected, comes back; feeds what is to be sent and hands over what came.

Owns: network, TCP and TLS, back-off with jitter, keep-alive, every time-out, sending in order.
Refuses: waiting for ever for anything; letting a broken line touch sampling or safety (it is a task of its own).
Invariants: whatever ends a connection leads to the next one; `next_message` is asked only while the window has room.

The holder of a link has: connected() -> messages to say first, greeted() -> whether a beat answered them,
disconnected(), next_message() -> (kind, bytes, what) or None, acknowledged(what), arrived(kind, bytes, retained).
"""

import asyncio

from firmware.mqtt import Mqtt
from wire import topics
from wire.errors import WireError

KEEPALIVE_S = 60
OPEN_S = 20  # TCP, TLS and CONNACK together
PING_S = 30  # silence after which we ask
DEAD_S = 15  # silence after that which ends the connection
STUCK_S = 60  # a full window of which nothing is acknowledged for so long ends it too
BACK_OFF_S = (1, 64)
GREET_S = 5  # a hello that no beat answered is said again: the gateway may have come, or have learnt of us, after it


class Link:
    def __init__(self, board, config, id, holder):
        self.board = board
        self.config = config
        self.id = id
        self.holder = holder
        self.up = False
        self.turns = 0  # rises while this task lives, for the watchdog
        self.last_error = ""
        self._wake = asyncio.Event()
        self._tls = None
        self._ended = None

    def poke(self):
        """There is something to send."""
        self._wake.set()

    async def run(self):
        back_off_s = BACK_OFF_S[0]
        while True:
            self.turns += 1
            if self.config.broker is not None and self.board.network_up(self.config.wifi):
                heard = await self._connection()
                back_off_s = BACK_OFF_S[0] if heard else min(2 * back_off_s, BACK_OFF_S[1])
                await self._pause(back_off_s)
            else:
                await asyncio.sleep(1)

    async def _pause(self, seconds):
        """Between half of the time and all of it, so that boards do not come back in step."""
        jitter_ms = int.from_bytes(self.board.random(2), "big") * 500 * seconds >> 16
        for _ in range((500 * seconds + jitter_ms) // 500):
            self.turns += 1
            await asyncio.sleep(0.5)

    async def _connection(self):
        """One connection from its begin to its end. True if it was any good."""
        mqtt = writer = None
        tasks = []
        self._ended = None
        try:
            mqtt, writer = await asyncio.wait_for(self._open(), OPEN_S)
            self.up = True
            self._wake.set()
            tasks = [
                asyncio.create_task(self._until(work)) for work in (mqtt.run(self._acknowledged), self._feed(mqtt))
            ]
            await self._watch(mqtt)
        except (OSError, EOFError, asyncio.TimeoutError) as error:
            self._note("%s %s" % (type(error).__name__, error))
        finally:
            self.up = False
            for task in tasks:
                task.cancel()
            await _close(writer)
            self.holder.disconnected()
        return mqtt is not None and mqtt.heard > 0

    def _note(self, error):
        if error != self.last_error:
            print("LINK %s" % error)
        self.last_error = error

    async def _until(self, work):
        """A task of the connection: what ends it ends the connection."""
        try:
            await work
        except (OSError, EOFError) as error:
            self._ended = error

    async def _open(self):
        broker = self.config.broker
        self.turns += 1
        reader, writer = await asyncio.open_connection(broker["host"], broker["port"], **self._security(broker))
        try:
            mqtt = Mqtt(reader, writer, self._arrived)
            await mqtt.connect(topics.id_text(self.id), KEEPALIVE_S, topics.up(self.id, "gone"))
            await mqtt.subscribe(topics.all_down(self.id))
            await self._greet(mqtt)
        except BaseException:
            await _close(writer)
            raise
        return mqtt, writer

    async def _greet(self, mqtt):
        for kind, message in self.holder.connected():
            await mqtt.publish(topics.up(self.id, kind), message)

    def _security(self, broker):
        if not broker["tls"]:
            return {}
        if self._tls is None:
            import tls

            context = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)
            context.verify_mode = tls.CERT_REQUIRED
            context.load_verify_locations(_bytes(broker["ca"]))
            context.load_cert_chain(_bytes(broker["certificate"]), _bytes(broker["private_key"]))
            self._tls = context
        return {"ssl": self._tls, "server_hostname": broker["host"]}

    async def _watch(self, mqtt):
        heard = mqtt.heard
        silent_s = waiting_s = unheard_s = 0
        while True:
            await asyncio.sleep(1)
            self.turns += 1
            unheard_s = 0 if self.holder.greeted() else unheard_s + 1
            if unheard_s == GREET_S and mqtt.window_open:
                unheard_s = 0
                await self._greet(mqtt)
            if self._ended is not None:
                raise self._ended
            silent_s = silent_s + 1 if heard == mqtt.heard else 0
            heard = mqtt.heard
            if silent_s == PING_S and mqtt.idle:
                await mqtt.ping()
            if silent_s > PING_S + DEAD_S:
                raise OSError("no answer for %d s" % silent_s)
            waiting_s = waiting_s + 1 if mqtt.acknowledged == 0 and not mqtt.window_open else 0
            mqtt.acknowledged = 0
            if waiting_s > STUCK_S:
                raise OSError("no PUBACK for %d s" % waiting_s)

    async def _feed(self, mqtt):
        while True:
            message = self.holder.next_message() if mqtt.window_open else None
            if message is None:
                self._wake.clear()
                await self._wake.wait()
                continue
            kind, data, what = message
            await mqtt.publish(topics.up(self.id, kind), data, what)

    def _acknowledged(self, what):
        self._wake.set()
        if what is not None:
            self.holder.acknowledged(what)

    def _arrived(self, topic, payload, retained):
        try:
            id, kind = topics.split(topic)
        except WireError:
            return
        if id == self.id:
            self.holder.arrived(kind, payload, retained)


async def _close(writer):
    if writer is None:
        return
    writer.close()
    try:
        await writer.wait_closed()
    except OSError:
        pass  # it was gone already


def _bytes(path):
    with open(path, "rb") as file:
        return file.read()
