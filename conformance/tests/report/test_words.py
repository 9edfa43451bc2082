"""Bytes in words: replies are read as what they answer, as long as that can be known."""

from conformance.judge.peer import Recorded
from conformance.judge.words import in_words, listened, spoken, told
from conformance.tests.judge.staging import CODEC

COUNT = CODEC.request("DEVICE_COUNT")
ONE_DEVICE = (4).to_bytes(8, "little") + CODEC.pack("device_count_rsp", {"count": 1})


def sent(data: bytes, size: int | None = None) -> Recorded:
    return Recorded(True, len(data) if size is None else size, data)


def came(data: bytes) -> Recorded:
    return Recorded(False, len(data), data)


def replies(*pieces: Recorded) -> list[tuple[str, ...]]:
    return [said.words for said in spoken(CODEC, pieces) if not said.piece.sent]


def test_replies_are_read_in_the_order_of_the_requests() -> None:
    alignment = CODEC.request("GET_ALIGNMENT", device=0)
    aligned = (8).to_bytes(8, "little") + CODEC.pack("alignment_rsp", {"alignment": 64})
    assert replies(sent(COUNT + alignment), came(ONE_DEVICE), came(aligned)) == [
        ("reply to DEVICE_COUNT, declares 4 bytes: count 1",),
        ("reply to GET_ALIGNMENT, declares 8 bytes: alignment 64",),
    ]


def test_requests_without_a_reply_wait_for_none() -> None:
    clear = CODEC.request("BUFFER_CLEAR", handle=1, value=2)
    freed = CODEC.request("GRAPH_RECOMPUTE", device=0)
    assert replies(sent(freed + COUNT), came(ONE_DEVICE)) == [("reply to DEVICE_COUNT, declares 4 bytes: count 1",)]
    assert CODEC.dialect.command("BUFFER_CLEAR").answered == ("reply to B" in str(replies(sent(clear), came(bytes(8)))))


def test_a_reply_of_a_wrong_size_is_not_taken_apart() -> None:
    assert replies(sent(COUNT), came(bytes(8))) == [("reply to DEVICE_COUNT, declares 0 bytes",)]


def test_behind_what_was_not_recorded_whole_replies_are_bytes() -> None:
    assert replies(sent(COUNT, size=600), sent(COUNT), came(ONE_DEVICE)) == [()]
    assert replies(sent(CODEC.frame(200)), sent(COUNT), came(ONE_DEVICE)) == [()]
    assert replies(sent(COUNT[:4]), sent(COUNT[4:]), came(ONE_DEVICE)) == [()]


def test_what_a_judge_that_is_the_server_sends_is_not_read_as_requests() -> None:
    assert [said.words for said in listened([sent(COUNT), came(COUNT)])] == [(), ()]


def test_pieces_are_told_with_direction_size_and_note() -> None:
    (said,) = spoken(CODEC, [Recorded(True, 60, COUNT + bytes(51), "one byte at a time")])
    lines = list(told(said))
    assert lines[0] == "> 60 bytes: " + (COUNT + bytes(51))[:48].hex(" ") + " ..."
    assert lines[1].strip() == "DEVICE_COUNT, declares 0 bytes"
    assert lines[-1] == "> one byte at a time"


def test_only_the_first_requests_are_told() -> None:
    assert list(in_words(CODEC, COUNT * 6))[-2:] == ["DEVICE_COUNT, declares 0 bytes", "and so on"]
