"""The log of a server: one line for each thing that a person should know, whatever peers do to fill or forge it."""

import logging
from collections.abc import Iterator

import attrs
import pytest

from refimpl.cli import quiet
from refimpl.cli.quiet import LINES, LINES_IN_ALL, LONGEST, MINUTE, SOURCES, QuietHandler
from refimpl.cli.report import ACQUAINTED, Report
from refimpl.trace import (
    AcceptFailed,
    CommandTaken,
    ConnectionClosed,
    ConnectionFailed,
    ConnectionOpened,
    ConnectionRefused,
    LeftAfterHello,
)


class Lines(logging.Handler):
    """What was written."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@attrs.define
class Log:
    """A log whose time a test makes pass."""

    target: Lines = attrs.field(factory=Lines)
    now: float = 0.0

    @property
    def lines(self) -> list[str]:
        return self.target.lines

    def take(self) -> list[str]:
        taken, self.target.lines = self.target.lines, []
        return taken


@pytest.fixture
def log() -> Iterator[Log]:
    made = Log()
    handler = QuietHandler(made.target, lambda: made.now)
    logger = logging.getLogger("refimpl")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield made
    logger.removeHandler(handler)
    logger.setLevel(logging.NOTSET)


def refusal(host: str = "192.0.2.7", detail: str = "size 7") -> ConnectionRefused:
    return ConnectionRefused(f"{host}:1234", "FRAME-5", detail)


def test_a_violation_is_one_line_with_clause_and_value(log: Log) -> None:
    Report()(refusal())
    assert log.lines == ["192.0.2.7:1234: refused: FRAME-5: size 7"]


def test_coming_and_going_is_no_news(log: Log) -> None:
    report = Report()
    report(ConnectionOpened("192.0.2.7:1"))
    report(ConnectionClosed("192.0.2.7:1", 12))
    assert log.lines == []
    report(ConnectionClosed("192.0.2.7:1", 12, "left while a graph ran"))
    assert log.lines == ["192.0.2.7:1: closed after 12 commands: left while a graph ran"]


def test_a_flood_of_one_place_is_counted_and_told_later(log: Log) -> None:
    report = Report()
    for _ in range(1000):
        report(refusal())
    assert len(log.take()) == LINES
    report(refusal("192.0.2.8"))
    assert log.take() == ["192.0.2.8:1234: refused: FRAME-5: size 7"]
    log.now += MINUTE
    report(refusal("192.0.2.8"))
    told, line = log.take()
    assert told == f"192.0.2.7: and {1000 - LINES} more lines within a minute"
    assert line == "192.0.2.8:1234: refused: FRAME-5: size 7"


def test_after_a_while_a_place_is_heard_again(log: Log) -> None:
    report = Report()
    for _ in range(LINES + 1):
        report(refusal())
    log.take()
    log.now += MINUTE
    report(refusal())
    assert log.take()[-1].startswith("192.0.2.7:1234: refused")


def test_the_addresses_of_one_network_are_one_place(log: Log) -> None:
    report = Report()
    for number in range(100):
        report(ConnectionRefused(f"[2001:db8::{number:x}]:1", "FRAME-4", "command 99"))
    assert len(log.lines) == LINES


def test_a_flood_from_many_places_ends_too(log: Log) -> None:
    report = Report()
    for number in range(SOURCES + 1000):
        report(refusal(f"10.0.{number >> 8}.{number & 255}"))
    assert len(log.take()) == LINES_IN_ALL
    log.now += MINUTE
    report(refusal("192.0.2.8"))
    told = log.take()
    assert len(told) == LINES + 2
    counted = [int(line.split(" more lines")[0].rpartition(" ")[2]) for line in told[:-1]]
    assert sum(counted) == SOURCES + 1000 - LINES_IN_ALL


def test_complaints_of_the_server_itself_are_held_back_kind_by_kind(log: Log) -> None:
    for number in range(100):
        logging.getLogger("refimpl.cache").warning("tensor cache %s not written", number)
    logging.getLogger("refimpl.cache").warning("another thing: %s", 1)
    assert len(log.take()) == LINES + 1


def test_what_was_asked_for_is_never_held_back(log: Log) -> None:
    logging.getLogger("refimpl").setLevel(logging.DEBUG)
    report = Report()
    for _ in range(10 * LINES):
        report(CommandTaken("192.0.2.7:1", "SET_TENSOR", "size=3"))
    assert len(log.lines) == 10 * LINES


def test_the_end_tells_what_was_counted() -> None:
    target = Lines()
    handler = QuietHandler(target, lambda: 0.0)
    for _ in range(LINES + 5):
        handler.handle(logging.LogRecord("refimpl", logging.WARNING, "", 0, "again", None, None))
    handler.close()
    assert target.lines[-1] == "refimpl: again: and 5 more lines within a minute"


@pytest.mark.parametrize(
    "evil", ["\x1b[2J\x1b[1;1H", "two\nlines", "back\rhere", "\x00", "\u202egnp.exe", "\x9b31m", "bell\a", "a\u2028b"]
)
def test_no_peer_writes_raw_bytes_or_lines_of_its_own(log: Log, evil: str) -> None:
    report = Report()
    report(refusal(detail=f"tensor {evil!s}"))
    report(ConnectionClosed("192.0.2.7:1", 1, evil))
    logging.getLogger("refimpl").setLevel(logging.DEBUG)
    report(CommandTaken("192.0.2.7:1", "SET_TENSOR", evil))
    assert len(log.lines) == 3
    for line in log.lines:
        assert evil not in line
        assert line.isprintable()


def test_the_lines_of_a_traceback_cannot_be_taken_for_others(log: Log) -> None:
    Report()(ConnectionFailed("192.0.2.7:1", "Traceback:\n  File x\nError: \x1b[31m\n192.0.2.8:1: all is well"))
    (entry,) = log.lines
    first, *rest = entry.split("\n")
    assert first == "192.0.2.7:1: closed by a fault of this server:"
    assert all(line.startswith("    ") and line.isprintable() for line in rest)


def test_a_line_has_an_end(log: Log) -> None:
    Report()(refusal(detail="x" * 100_000))
    assert len(log.lines[0]) <= LONGEST


def test_who_only_says_hello_is_said_once_for_its_address(log: Log) -> None:
    report = Report()
    for port in range(100):
        report(LeftAfterHello(f"192.0.2.7:{port + 1}", "8.0.0"))
    report(LeftAfterHello("192.0.2.8:1", "8.0.0"))
    report(LeftAfterHello("192.0.2.7:1", "7.0.0"))
    assert [line.split(":")[0] for line in log.lines] == ["192.0.2.7", "192.0.2.8", "192.0.2.7"]
    assert "--proto 7.0.0" in log.lines[0]


def test_only_so_many_are_remembered_to_have_said_hello(log: Log) -> None:
    report = Report()
    for number in range(ACQUAINTED + 500):
        report(LeftAfterHello(f"10.0.{number >> 8}.{number & 255}:1", "8.0.0"))
    assert len(report._left) == ACQUAINTED


def test_that_no_connection_can_be_taken_is_an_error_of_its_own(log: Log) -> None:
    Report()(AcceptFailed("Too many open files"))
    assert "Too many open files" in log.lines[0]


def test_texts_that_print_are_left_alone() -> None:
    assert quiet.printable("blk.0.attn_q \u00e9 \u4e2d") == "blk.0.attn_q \u00e9 \u4e2d"
