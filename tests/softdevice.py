"""A device made of a key and a row counter, for tests of what stands behind real ones.

Owns: signed reports in sequence, hellos, its enrolment and the registrar's entry for it.
Refuses: being taken for firmware: nothing about boards is shown with it.
"""

from __future__ import annotations

import os

from wire import envelope
from wire.chain.keys import PrivateKey, SharedKey
from wire.enrol import Enrolment, Entry
from wire.hello import Beat, Hello
from wire.report import Report
from wire.rows import DOMAIN, HEAD_START, SYNCED, encode, encode_row

START_S = 1_750_000_000


class SoftDevice:
    def __init__(self, name: str, role: int = 0) -> None:
        self.key = PrivateKey.derive("soft device", name)
        self.id = self.key.kid
        self.name = name
        self.role = role
        self.seq = 0
        self.head = HEAD_START
        self.time_s = START_S
        self.import_wh = 0
        self.nonce = os.urandom(16)

    def enrolment(self) -> bytes:
        enrolment = Enrolment(
            id=self.id, public_key=self.key.public_key, role=self.role, board="test", firmware=bytes(32)
        )
        return envelope.sign(self.key, Enrolment.DOMAIN, enrolment.encode())

    def entry(self, registrar: PrivateKey, gateway: bytes, serial: int = 1, status: int = 0) -> bytes:
        entry = Entry(
            serial=serial,
            device=self.id,
            enrolment=self.enrolment(),
            name=self.name,
            alliance=3,
            gateway=gateway,
            limits={},
            status=status,
            from_time=START_S,
            assignment=None,
        )
        return envelope.sign(registrar, Entry.DOMAIN, entry.encode())

    def report(self, rows: int = 10, wh_a_row: int = 5) -> bytes:
        """The next report, signed."""
        row_bytes = []
        for _ in range(rows):
            self.import_wh += wh_a_row
            row_bytes.append(encode_row(60, self.import_wh, 0, wh_a_row * 60, 230_000, 1_300))
        report = Report(self.id, 1, self.seq, self.head, self.time_s, SYNCED, row_bytes)
        self.seq, self.head = report.next_seq, report.next_head
        self.time_s += 60 * rows
        payload = encode(self.id, 1, report.seq, report.head, report.time_s, SYNCED, row_bytes)
        return envelope.sign(self.key, DOMAIN, payload)

    def hello(self) -> bytes:
        hello = Hello(
            id=self.id,
            boot=1,
            nonce=self.nonce,
            oldest_seq=0,
            next_seq=self.seq,
            head=self.head,
            registers=[self.import_wh, 0],
            configuration=0,
        )
        return envelope.sign(self.key, Hello.DOMAIN, hello.encode())

    def open_beat(self, raw: bytes, gateway_public_key: bytes, gateway_kid: bytes) -> Beat:
        shared = SharedKey(gateway_kid, self.key.mac_key(gateway_public_key))
        return Beat.decode(envelope.open_mac(raw, shared, Beat.DOMAIN))
