"""Servers with one fault each, and what a campaign has to say of it."""

from collections.abc import Mapping

import attrs
import trio

from conformance.fuzz.model.ruling import Ruling
from conformance.judge.codec import Codec
from conformance.judge.verdict import Verdict
from conformance.tests.fuzz.obedient import Dead, Desk, Office

__all__ = ["WRONG", "AcceptsFreed", "DiesOfNewTypes", "SpillsOver", "Told"]

RECORD = "rpc_tensor"
NEW_TYPES = 39
DEAD_TYPES = range(NEW_TYPES, 1 << 31)
ABOUT_TENSORS = ("SET_TENSOR", "GET_TENSOR", "MEMSET_TENSOR", "INIT_TENSOR")
ABOUT_BUFFERS = {"BUFFER_CLEAR": "handle", "SET_TENSOR": "buffer", "MEMSET_TENSOR": "buffer"}


def _read(office: Office, command: str, body: bytes, name: str) -> int:
    """A field of a request, else of the record that it begins with."""
    codec = Codec(office.world.dialect)
    struct = codec.dialect.structs[codec.dialect.command(command).request or ""]
    if any(field.name == name for field in struct.fields):
        return codec.read(struct.name, name, body[: struct.size])
    return codec.read(RECORD, name, body[: codec.size(RECORD)])


class LastByteWrong(Desk):
    """The last byte of a transfer that does not begin at offset 0 is not the one that is there."""

    def spoken(self, command: str, body: bytes, reply: bytes) -> bytes:
        if command != "GET_TENSOR" or not reply or not _read(self.office, command, body, "offset"):
            return reply
        return reply[:-1] + bytes([reply[-1] ^ 1])


class AcceptsFreed(Desk):
    """A freed handle is as good as any."""

    async def refuse(self, ruling: Ruling, body: bytes) -> None:
        freed = {place.handle for place in self.session.places.values()} - set(self.session.owned)
        command = ruling.expected.command
        name = ABOUT_BUFFERS.get(command)
        if ruling.expected.clause != "HANDLE-2" or not name or _read(self.office, command, body, name) not in freed:
            await super().refuse(ruling, body)
        self.session.over = False


class DiesOfNewTypes(Desk):
    """A table of types is shorter than the type numbers go."""

    async def deal(self, ruling: Ruling, body: bytes) -> None:
        command = ruling.expected.command
        if command in ABOUT_TENSORS and body and _read(self.office, command, body, "type") in DEAD_TYPES:
            raise Dead("a type beyond the table")
        await super().deal(ruling, body)


class AnswersBeyondTheEnd(Desk):
    """offset is not looked at."""

    async def refuse(self, ruling: Ruling, body: bytes) -> None:
        if ruling.expected.clause != "REGION-2" or ruling.expected.command != "GET_TENSOR":
            await super().refuse(ruling, body)
        self.session.over = False
        await self.answer(bytes(min(_read(self.office, "GET_TENSOR", body, "size"), 1 << 10)))


class HangsOnTwins(Desk):
    """A record that stands twice in a graph is waited for."""

    async def refuse(self, ruling: Ruling, body: bytes) -> None:
        if ruling.expected.clause == "GRAPH-5":
            await trio.sleep_forever()
        await super().refuse(ruling, body)


class Scribbles(Desk):
    """Behind a graph that ran, the last byte of a buffer is another one."""

    async def deal(self, ruling: Ruling, body: bytes) -> None:
        await super().deal(ruling, body)
        if ruling.executed:
            self.session.live()[0].data[-1:] = 1


class KeepsFreedGraphs(Desk):
    """A graph runs again when its buffer is gone."""

    async def refuse(self, ruling: Ruling, body: bytes) -> None:
        if ruling.expected.clause != "GRAPH-23" or len(self.session.places) == len(self.session.owned):
            await super().refuse(ruling, body)
        self.session.over = False


class SpillsOver(Desk):
    """An undefined command writes into somebody else's buffer."""

    async def refuse(self, ruling: Ruling, body: bytes) -> None:
        if ruling.expected.clause == "FRAME-4":
            for other in self.office.desks:
                for held in other.session.live():
                    held.data[:] = 0
        await super().refuse(ruling, body)


@attrs.frozen
class Told:
    """What a campaign has to say: verdict, clause, into how many steps it fits.

    seed: by which it is met early; timeout: seconds for each answer, few where one is waited for in vain many times.
    """

    verdict: Verdict
    clause: str
    steps: int
    seed: int
    timeout: float = 10.0


WRONG: Mapping[type[Desk], Told] = {
    LastByteWrong: Told(Verdict.FAIL, "GET-2", 6, 2),
    AcceptsFreed: Told(Verdict.FAIL, "HANDLE-2", 6, 2),
    DiesOfNewTypes: Told(Verdict.CRASHED, "FRAME-11", 5, 3),
    AnswersBeyondTheEnd: Told(Verdict.FAIL, "REGION-2", 5, 2),
    HangsOnTwins: Told(Verdict.HUNG, "GRAPH-5", 5, 3, timeout=0.3),
    Scribbles: Told(Verdict.FAIL, "GET-2", 7, 3),
    KeepsFreedGraphs: Told(Verdict.FAIL, "GRAPH-23", 6, 3),
    SpillsOver: Told(Verdict.FAIL, "FRAME-4", 5, 3),
}
