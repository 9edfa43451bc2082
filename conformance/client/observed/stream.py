"""Frames, phases and HELLO, as an ordinary run shows them."""

from collections.abc import Iterator

from conformance.client.case import ClientSection
from conformance.client.observed.duty import View, duty
from conformance.client.observed.records import records_of

__all__ = ["CASES"]

SECTION = ClientSection()
HELLO = "HELLO"


@duty(SECTION, "FRAME-2/whole")
def _whole(view: View) -> Iterator[str]:
    """Requests are whole, and each has a command that the dialect defines."""
    for at, talk in enumerate(view.seen.run.conversations, 1):
        if talk.odd:
            yield f"connection {at} has {talk.odd}"
        if talk.cut_off:
            yield f"connection {at} ends inside a request, behind {talk.cut_off[:16].hex(' ')}"


@duty(SECTION, "FRAME-5/sizes")
def _sizes(view: View) -> Iterator[str]:
    """Every request declares the size that its command has."""
    for moment in view.moments():
        asked, command = moment.asked, view.codec.dialect.command(moment.asked.command)
        fixed = view.codec.fixed_bytes(asked.command)
        if asked.declared < fixed or (command.tail is None and asked.declared != fixed):
            yield f"{moment} declares {asked.declared} bytes, where {fixed} stand before any tail"


@duty(SECTION, "FRAME-3/names-padded")
def _names_padded(view: View) -> Iterator[str]:
    """Names of tensors are padded with NUL."""
    for moment in view.moments():
        for record in records_of(view.codec, moment.asked):
            text, _, padding = record.name.partition(b"\0")
            if padding.strip(b"\0"):
                yield f"{moment} has a name {text!r} with {padding.hex(' ')} behind its NUL"


@duty(SECTION, "HELLO-1/first-and-once")
def _first_and_once(view: View) -> Iterator[str]:
    """HELLO comes first on every connection, and once."""
    for at, talk in enumerate(view.seen.run.conversations, 1):
        commands = [request.command for request in talk.requests]
        if commands and (commands[0] != HELLO or commands.count(HELLO) != 1):
            yield f"connection {at} begins with {commands[0]} and has {commands.count(HELLO)} HELLO"


@duty(SECTION, "PHASE-1/hello-first")
def _hello_first(view: View) -> Iterator[str]:
    """Nothing comes before HELLO."""
    for at, talk in enumerate(view.seen.run.conversations, 1):
        if talk.requests and talk.requests[0].command != HELLO:
            yield f"connection {at} begins with {talk.requests[0].command}"


@duty(SECTION, "PHASE-2/hello-once")
def _hello_once(view: View) -> Iterator[str]:
    """HELLO does not come again."""
    for at, talk in enumerate(view.seen.run.conversations, 1):
        again = [request.command for request in talk.requests[1:]].count(HELLO)
        if again:
            yield f"connection {at} has {again} more"


@duty(SECTION, "HELLO-2/size")
def _hello_size(view: View) -> Iterator[str]:
    """The body of HELLO has 24 bytes."""
    for moment in view.moments(HELLO):
        if moment.asked.declared != view.codec.fixed_bytes(HELLO):
            yield f"{moment} declares {moment.asked.declared} bytes"


CASES = SECTION.cases
