"""spec/text/framing.md, sizes: every command as it should be, and with every size that it should not have.

Which sizes are right comes from spec/data. A size that is wrong for a tail's sake only is wrong by the clause that says
what the tail is for.
"""

import re
from collections.abc import Callable
from functools import partial

from conformance.cases.samples import COMMANDS, answered, is_answered, prelude, sample, since, slug
from conformance.cases.talk import opened, refused, reply, still_served
from conformance.judge.case import Case, Section
from conformance.judge.codec import Codec
from conformance.judge.steps import End, Mismatch, Receive, Reset, Send, Silence, Talk
from spec.load import load

__all__ = ["CASES", "of_command"]

_section = Section()
CASES = _section.cases

UPSTREAM_SIZE = "llama.cpp#25287"
A_MOMENT = 0.2
"""seconds in which a server that means to close has done so"""
OfCommand = Callable[[str, Codec], Talk[None]]
TAILED = frozenset(entry.name for entry in load().commands if entry.tail)
HUGE_TAILS = {"SET_TENSOR": "REGION-4", "SET_TENSOR_2D": "STRIDED-4"}
"""command with a tail > the clause by which 2^31 bytes of it are too many for sixteen bytes of tensor"""


def of_command(
    clause: str, command: str, what: str, script: OfCommand, *, ordinary: bool = False, upstream: str = ""
) -> Case:
    """One case of a family that asks the same of every command."""
    return Case(
        id="-".join((f"{clause}/{slug(command)}", *re.findall("[a-z0-9]+", what))),
        title=f"{command} {what}",
        script=partial(script, command),
        since=since(command),
        ordinary=ordinary,
        upstream=upstream,
    )


def _answered(command: str, codec: Codec) -> Talk[None]:
    buffer = yield from opened(codec)
    yield Send(prelude(codec, command, buffer) + codec.frame(command, sample(codec, command, buffer)))
    yield from reply(answered(codec, command) or 0, command)


def _unanswered(command: str, codec: Codec) -> Talk[None]:
    buffer = yield from opened(codec)
    yield Send(prelude(codec, command, buffer) + codec.frame(command, sample(codec, command, buffer)))
    yield from still_served(codec)


def _one_short(command: str, codec: Codec) -> Talk[None]:
    """For a command with a tail: one byte less than the fixed part."""
    buffer = yield from opened(codec)
    body = sample(codec, command, buffer)[: codec.fixed_bytes(command)]
    yield from refused(codec, prelude(codec, command, buffer) + codec.frame(command, body[:-1]))


def _one_more(command: str, codec: Codec) -> Talk[None]:
    buffer = yield from opened(codec)
    body = sample(codec, command, buffer) + b"\0"
    yield from refused(codec, prelude(codec, command, buffer) + codec.frame(command, body))


def _empty(command: str, codec: Codec) -> Talk[None]:
    buffer = yield from opened(codec)
    yield from refused(codec, prelude(codec, command, buffer) + codec.frame(command))


def _declares(size: int) -> OfCommand:
    def script(command: str, codec: Codec) -> Talk[None]:
        buffer = yield from opened(codec)
        body = sample(codec, command, buffer)
        yield from refused(codec, prelude(codec, command, buffer) + codec.head(command, size) + body)

    return script


def _graph_of_2_31(command: str, codec: Codec) -> Talk[None]:
    """Bytes behind a graph's last record may be ignored (GRAPH-3), so a server may wait for them; then it is left."""
    buffer = yield from opened(codec)
    yield Send(codec.head(command, 1 << 31) + sample(codec, command, buffer))
    answer = yield Receive(within=A_MOMENT)
    if not isinstance(answer, End | Silence):
        raise Mismatch("the connection closed, or nothing", str(answer))
    yield Reset()


for _command in COMMANDS:
    if _command == "HELLO":
        continue
    if is_answered(_command):
        _section.add(of_command("FRAME-6", _command, "is answered", _answered, ordinary=True))
    else:
        _section.add(of_command("FRAME-8", _command, "is not answered", _unanswered, ordinary=True))
    if _command != "DEVICE_COUNT":
        _section.add(of_command("FRAME-5", _command, "one short", _one_short))
        _section.add(of_command("FRAME-5", _command, "empty", _empty))
    if _command not in TAILED:
        _section.add(of_command("FRAME-5", _command, "one more", _one_more))
        _section.add(of_command("FRAME-5", _command, "declares 2^31", _declares(1 << 31)))
    if _command in HUGE_TAILS:
        _section.add(
            of_command(HUGE_TAILS[_command], _command, "declares 2^31", _declares(1 << 31), upstream=UPSTREAM_SIZE)
        )
    _report = UPSTREAM_SIZE if _command in TAILED else ""
    _section.add(of_command("FRAME-7", _command, "declares 2^63", _declares(1 << 63), upstream=_report))
    _section.add(of_command("FRAME-7", _command, "declares 2^64 less 1", _declares((1 << 64) - 1), upstream=_report))

_section.add(of_command("FRAME-7", "GRAPH_COMPUTE", "declares 2^31", _graph_of_2_31, upstream=UPSTREAM_SIZE))
