"""What acts make of a right reply, byte by byte."""

import pytest

from conformance.client.hostile.deeds import (
    Act,
    Add,
    AsFirst,
    Be,
    Behind,
    Claim,
    Fields,
    Filled,
    Resized,
    Slowly,
    framed,
)
from conformance.tests.client.talk import CODEC

HEAD = 8
ALIGNED = (64).to_bytes(8, "little")
FIRST = (7).to_bytes(8, "little")


def size(number: int) -> bytes:
    return number.to_bytes(HEAD, "little")


def of(act: Act) -> bytes:
    return framed(act, CODEC, "GET_ALIGNMENT", ALIGNED, FIRST)


@pytest.mark.parametrize(
    ("act", "frame"),
    [
        (Slowly(1.0), size(8) + ALIGNED),
        (Resized(-1), size(7) + ALIGNED[:7]),
        (Resized(2), size(10) + ALIGNED + bytes(2)),
        (Claim(0), size(0)),
        (Claim(1 << 63), size(1 << 63) + ALIGNED),
        (Filled(0xFF), size(8) + b"\xff" * 8),
        (Behind.ITSELF, 2 * (size(8) + ALIGNED)),
        (Behind.STRANGER, size(8) + ALIGNED + size(3) + bytes(3)),
        (Fields((("alignment", Be(5)),)), size(8) + size(5)),
        (Fields((("alignment", Add(-65)),)), size(8) + size((1 << 64) - 1)),
        (Fields((("alignment", AsFirst()),)), size(8) + FIRST),
    ],
)
def test_a_reply_becomes_what_the_act_says(act: Act, frame: bytes) -> None:
    assert of(act) == frame


def test_bytes_are_changed_as_bytes_and_other_fields_stay() -> None:
    hello = CODEC.pack("hello_rsp", {"major": 8, "patch": 3})
    frame = framed(Fields((("conn_caps", b"x" * 24), ("major", Be(9)))), CODEC, "HELLO", hello, hello)
    told = CODEC.unpack("hello_rsp", frame[HEAD:])
    assert (told["major"], told["patch"], told["conn_caps"]) == (9, 3, b"x" * 24)


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (Resized(-1), "1 bytes too short"),
        (Claim(0), "declares 0 bytes"),
        (Filled(255), "every byte 0xff"),
        (Behind.ITSELF, "behind it the same reply once more"),
        (Fields((("base", Add(1)), ("size", Be(16)))), "base: the true one and 1, size: 0x10"),
        (Fields((("handle", AsFirst()), ("conn_caps", b"ab"))), "handle: that of the first reply, conn_caps: 61 62"),
    ],
)
def test_reports_say_what_was_done(act: Act, words: str) -> None:
    assert str(act) == words
