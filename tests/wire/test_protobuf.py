"""Protobuf by hand: numbers from the language guide, there and back, and nothing but WireError from any bytes."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire.chain import protobuf as pb
from wire.errors import WireError

INT64 = st.integers(-(2**63), 2**63 - 1)


def test_examples_of_the_encoding_guide():
    assert pb.number(1, 150).hex() == "089601"
    assert pb.data(2, b"testing").hex() == "120774657374696e67"
    assert pb.message(3, pb.number(1, 150)).hex() == "1a03089601"
    assert pb.number(1, -2).hex() == "08" + "fe" + "ff" * 8 + "01"
    assert pb.fixed64(1, 1).hex() == "09" + "01" + "00" * 7


def test_defaults_are_left_out_but_messages_are_not():
    assert pb.number(1, 0) == pb.data(1, b"") == pb.fixed64(1, 0) == b""
    assert pb.message(1, b"") == b"\x0a\x00" and pb.timestamp(0) == b""


@given(INT64, st.binary(max_size=300), st.lists(st.binary(max_size=5), max_size=4), st.integers(-(10**18), 10**19))
def test_there_and_back(n, data, many, time_ns):
    raw = pb.number(1, n) + pb.data(2, data) + b"".join(pb.message(3, x) for x in many)
    raw += pb.message(400, pb.timestamp(time_ns))
    m = pb.Reader(raw)
    assert (m.number(1), m.data(2), m.repeated(3), m.time_ns(400)) == (n, data, many, time_ns)


@given(st.binary(max_size=60))
def test_any_bytes(raw):
    with suppress(WireError):
        m = pb.Reader(raw)
        for field in range(1, 6):
            for read in (m.number, m.data, m.text, m.repeated, m.message, m.time_ns):
                with suppress(WireError):
                    read(field)


@pytest.mark.parametrize(
    "raw",
    [
        "08",
        "0880",
        "0a05616263",
        "0a",
        "09" + "00" * 7,
        "0d0000",
        "0b",
        "0c",
        "08" + "80" * 10 + "00",
        "08" + "ff" * 9 + "02",
    ],
)
def test_refused(raw):
    with pytest.raises(WireError):
        pb.Reader(bytes.fromhex(raw))


def test_a_field_of_another_type_is_refused():
    m = pb.Reader(pb.number(1, 5) + pb.data(2, b"\xff"))
    for read in (
        lambda: m.data(1),
        lambda: m.number(2),
        lambda: m.repeated(1),
        lambda: m.text(2),
        lambda: m.message(1),
    ):
        with pytest.raises(WireError):
            read()
    assert m.number(9) == 0 and m.data(9) == b"" and m.repeated(9) == []
