"""spec/text/framing.md, phases: before HELLO nothing else, after it everything else, and after the end nothing."""

from collections.abc import Iterator
from functools import partial

from conformance.cases.samples import COMMANDS, NOWHERE, answered, prelude, sample, since, slug
from conformance.cases.talk import Buffer, ended, greet, opened, refused, reply, still_served
from conformance.judge.case import Case, Section
from conformance.judge.codec import Codec
from conformance.judge.steps import End, Finish, Receive, Send, Talk, require

__all__ = ["CASES"]

_section = Section()
_case = _section.case
CASES = _section.cases


def _before_hello(command: str, codec: Codec) -> Talk[None]:
    yield from refused(codec, codec.frame(command, sample(codec, command, NOWHERE)))


for _command in COMMANDS:
    if _command != "HELLO":
        _section.add(
            Case(
                id=f"PHASE-1/{slug(_command)}",
                title=f"{_command} before HELLO closes the connection",
                script=partial(_before_hello, _command),
                since=since(_command),
            )
        )


@_case("PHASE-1/undefined-command")
def _undefined_first(codec: Codec) -> Talk[None]:
    """An undefined command before HELLO closes the connection"""
    yield from refused(codec, codec.head(200, 0))


@_case("PHASE-1/hello-behind-a-bad-one")
def _too_late(codec: Codec) -> Talk[None]:
    """A HELLO behind another command does not save the connection"""
    yield from refused(codec, codec.request("DEVICE_COUNT") + codec.request("HELLO"))


def _legal(codec: Codec) -> Iterator[str]:
    """The commands of the dialect in an order in which each is legal: freeing the buffer comes last."""
    known = {command.name for command in codec.dialect.commands.values()}
    yield from (name for name in COMMANDS if name in known - {"HELLO", "FREE_BUFFER"})
    yield "FREE_BUFFER"


def _one_by_one(codec: Codec, buffer: Buffer) -> Talk[None]:
    for command in _legal(codec):
        yield Send(prelude(codec, command, buffer) + codec.frame(command, sample(codec, command, buffer)))
        size = answered(codec, command)
        if size is not None:
            yield from reply(size, command)


@_case("PHASE-2/every-command", ordinary=True)
def _every_command(codec: Codec) -> Talk[None]:
    """Every command of the dialect is legal on one connection, and it goes on behind each"""
    buffer = yield from opened(codec)
    yield from _one_by_one(codec, buffer)
    yield from still_served(codec)


@_case("PHASE-2/every-command-at-once", ordinary=True)
def _at_once(codec: Codec) -> Talk[None]:
    """Every command of the dialect in one segment: each that has a reply gets it, in order"""
    buffer = yield from opened(codec)
    commands = tuple(_legal(codec))
    samples = ((command, sample(codec, command, buffer)) for command in commands)
    yield Send(b"".join(prelude(codec, name, buffer) + codec.frame(name, body) for name, body in samples))
    for command in commands:
        size = answered(codec, command)
        if size is not None:
            yield from reply(size, command)
    yield from still_served(codec)


@_case("PHASE-3/dropped")
def _dropped(codec: Codec) -> Talk[None]:
    """What arrives after the connection has been closed is dropped, and nothing more is said"""
    yield from opened(codec)
    yield from refused(codec, codec.head(255, 0))
    yield Send(codec.request("HELLO") + codec.request("DEVICE_COUNT"))
    answer = yield Receive()
    require(isinstance(answer, End) and not answer.rest, "nothing but the end", answer)


@_case("PHASE-3/no-farewell", ordinary=True)
def _no_farewell(codec: Codec) -> Talk[None]:
    """A client that ends the connection between two requests hears nothing more"""
    yield from greet(codec)
    yield Finish()
    yield from ended()
