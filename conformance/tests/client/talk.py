"""An ordinary run in miniature, made of bytes: what a right client of 8.0.0 says on one connection, and the replies.

A wrong run is this one after a change: `edit` changes fields of a request, `edit_record` those of a tensor record in
it, `graph` makes another graph of it, `replace` another request; `events` can be changed by hand.
"""

import attrs

from conformance.client.case import Evidence, Seen
from conformance.client.hostile.conversation import Answered, Asked, Conversation
from conformance.client.observed.records import RECORD
from conformance.client.process import Ending
from conformance.judge.codec import Codec, Value
from conformance.judge.fnv import fnv1a64
from spec.load import load
from spec.names import Op, TensorFlag, Type

__all__ = ["BASE", "CODEC", "HANDLE", "LARGE", "OTHER", "Talk", "floats", "leaf", "seen", "whole_talk"]

CODEC = Codec(load().dialect("8.0.0"))
HANDLE, OTHER, BASE, SIZE = 0x51, 0x52, 1 << 20, 16 << 20
ALIGNMENT = 64
LARGE = (10 << 20) + ALIGNMENT
PAYLOAD = bytearray(b"large".ljust(LARGE, b"\0"))
ODD, WIDE, X, Y, Z, VIEW = 0, 1 << 10, 1 << 11, (1 << 11) + 64, (1 << 11) + 128, (1 << 11) + 64
BIG = 1 << 12
RUNS = {"id": 1, "buffer": HANDLE}


def leaf(at: int, size: int, **fields: Value) -> bytes:
    """A record of `size` bytes from `at` in the buffer; any field may be said otherwise."""
    known: dict[str, Value] = {"type": Type.I8, "ne": (size, 1, 1, 1), "nb": (1, size, size, size), "data": BASE + at}
    return CODEC.pack(RECORD, {**RUNS, **known, **fields})


def floats(at: int, number: int, **fields: Value) -> bytes:
    """A record of four F32."""
    known: dict[str, Value] = {"id": number, "type": Type.F32, "ne": (4, 1, 1, 1), "nb": (4, 16, 16, 16)}
    return leaf(at, 4, **{**known, **fields})


@attrs.define
class Talk:
    """Events of one connection."""

    events: list[Asked | Answered] = attrs.field(factory=list)

    def tell(self, command: str, payload: bytearray | None = None, tail: bytes = b"", /, **fields: Value) -> None:
        """A request; `tail` stands behind its fixed part, `payload` follows as bytes."""
        body = CODEC.body(command, tail, **fields)
        self.events.append(Asked(command, len(body) + len(payload or b""), body, payload))

    def ask(self, command: str, reply: dict[str, Value] | bytes, /, **fields: Value) -> None:
        """A request and its reply."""
        self.tell(command, **fields)
        struct = CODEC.dialect.command(command).reply or ""
        self.events.append(Answered(command, reply if isinstance(reply, bytes) else CODEC.pack(struct, reply)))

    def place(self, command: str, nth: int = 0) -> int:
        """Where the nth request of that command stands."""
        found = [at for at, event in enumerate(self.events) if isinstance(event, Asked) and event.command == command]
        return found[nth]

    def request(self, command: str, nth: int = 0) -> Asked:
        """The nth request of that command."""
        event = self.events[self.place(command, nth)]
        assert isinstance(event, Asked)
        return event

    def replace(self, command: str, body: bytes) -> None:
        """Give the first request of that command another body, declared truly."""
        self.events[self.place(command)] = Asked(command, len(body), body)

    def edit(self, command: str, nth: int = 0, /, **fields: Value) -> None:
        """Change fields of a request."""
        asked, struct = self.request(command, nth), CODEC.dialect.command(command).request or ""
        fixed = CODEC.size(struct)
        body = CODEC.pack(struct, {**CODEC.unpack(struct, asked.body[:fixed]), **fields}) + asked.body[fixed:]
        self.events[self.place(command, nth)] = attrs.evolve(asked, body=body)

    def edit_record(self, command: str, nth: int = 0, /, **fields: Value) -> None:
        """Change fields of the record of a request."""
        asked = self.request(command, nth)
        values = CODEC.unpack(CODEC.dialect.command(command).request or "", asked.body[: CODEC.fixed_bytes(command)])
        record = values["tensor"]
        assert isinstance(record, bytes)
        self.edit(command, nth, tensor=CODEC.pack(RECORD, {**CODEC.unpack(RECORD, record), **fields}))

    def graph(self, nodes: tuple[int, ...] = (3, 4), rest: bytes = b"", /, **records: bytes) -> None:
        """Make the graph another one: records by name replace those of `graph_records`, or come behind them."""
        at = self.place("GRAPH_COMPUTE")
        tail = graph_tail(nodes, {**graph_records(), **records}) + rest
        self.events[at] = _graph(tail, len(nodes))


def graph_records() -> dict[str, bytes]:
    """z = x + y, and a view of y."""
    runs = TensorFlag.COMPUTE
    return {
        "x": floats(X, 1),
        "y": floats(Y, 2),
        "z": floats(Z, 3, op=Op.ADD, flags=runs, src=(1, 2, *8 * (0,))),
        "view": floats(VIEW, 4, op=Op.VIEW, flags=runs, src=(2, *9 * (0,)), view_src=2),
    }


def graph_tail(nodes: tuple[int, ...], records: dict[str, bytes]) -> bytes:
    """What stands behind the fixed part of GRAPH_COMPUTE."""
    ids = b"".join(node.to_bytes(8, "little") for node in nodes)
    return ids + len(records).to_bytes(4, "little") + b"".join(records.values())


def _graph(tail: bytes, n_nodes: int, uid: int = 1) -> Asked:
    body = CODEC.body("GRAPH_COMPUTE", tail, device=0, uid=uid, n_nodes=n_nodes)
    return Asked("GRAPH_COMPUTE", len(body), body)


def whole_talk() -> Talk:
    """All that duties are about, rightly done."""
    talk = Talk()
    talk.ask("HELLO", {"major": 8})
    talk.ask("DEVICE_COUNT", {"count": 1})
    talk.ask("GET_ALIGNMENT", {"alignment": ALIGNMENT}, device=0)
    talk.ask("GET_MAX_SIZE", {"max_size": SIZE}, device=0)
    for handle, base in ((HANDLE, BASE), (OTHER, BASE + SIZE)):
        talk.ask("ALLOC_BUFFER", {"handle": handle, "size": SIZE}, device=0, size=SIZE)
        talk.ask("BUFFER_GET_BASE", {"base": base}, handle=handle)
    talk.tell("FREE_BUFFER", handle=OTHER)
    odd = leaf(ODD, 64, type=Type.Q4_0, nb=(18, 36, 36, 36))
    talk.ask("GET_ALLOC_SIZE", {"size": 36}, device=0, tensor=odd)
    talk.tell("INIT_TENSOR", tensor=odd)
    talk.tell("SET_TENSOR", bytearray(36), tensor=odd)
    large = leaf(BIG, LARGE)
    talk.ask("SET_TENSOR_HASH", {"found": 0}, tensor=large, hash=fnv1a64(CODEC.dialect, bytes(PAYLOAD)))
    talk.tell("SET_TENSOR", PAYLOAD, tensor=large, cache_flag=1)
    talk.tell("SET_TENSOR_2D", bytearray(16), tensor=leaf(WIDE, 64), size=4, n_copies=4, stride=16)
    talk.ask("GET_TENSOR_2D", bytes(16), tensor=leaf(WIDE, 64), size=4, n_copies=4, stride=16)
    talk.events.append(_graph(graph_tail((3, 4), graph_records()), 2))
    talk.tell("GRAPH_RECOMPUTE", device=0, uid=1)
    talk.ask("GET_TENSOR", bytes(16), tensor=floats(Z, 3), size=16)
    return talk


def seen(*talks: Talk, odd: str = "", cut_off: bytes = b"") -> Seen:
    """What a judge has of a run that is its own ordinary run."""
    ending = Ending(code=0, seconds=0.0, peak=0, greedy=False, out=b"", said="")
    spoken = [Conversation(CODEC, events=talk.events) for talk in talks]
    spoken[0].odd, spoken[0].cut_off = odd, cut_off
    run = Evidence(endpoint="127.0.0.1:1", ending=ending, begun=False, conversations=tuple(spoken))
    return Seen(codec=CODEC, run=run, ordinary=run)
