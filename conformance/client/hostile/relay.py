"""The hostile server: it stands between the client and a right server, and does one wrong thing.

Rules
- Both directions are cut into frames by the judge's own codec. What is not the deed's business is passed on unchanged.
- `begun` is set when the deed is first done: from there on the client's time runs.
- A reply is held back until the request that it answers has been heard, since replies are matched by order alone.
- The right server is trusted: a reply of it that is no frame is a fault of the suite, not of the client. When it closes
  a connection the client's is closed too, and the conversation says so.
"""

import socket
import struct
from collections import deque

import attrs
import trio

from conformance.client.hostile.conversation import Answered, Asked, Conversation
from conformance.client.hostile.deeds import (
    AtAccept,
    AtReply,
    AtRequest,
    Claim,
    Deed,
    Entry,
    Fall,
    Interrupted,
    Intrusion,
    Slowly,
    Where,
    framed,
)
from conformance.client.hostile.inlet import Ended, Inlet
from conformance.judge.codec import COMMAND_BYTES, HEAD_BYTES, SIZE_BYTES, Codec, number
from conformance.judge.peer import Dial

__all__ = ["HostileServer"]

LARGEST_GRAPH = 1 << 27
"""bytes of a request without payload that are read as one; whoever declares more is not read on"""
FLOOD = bytes(1 << 16)
FROM_2_31 = 1 << 31
PAUSES, PAUSE_SECONDS = 16, 0.005
"""how often a server that sends byte by byte waits, so that the first bytes do not arrive as one piece after all"""
SMALL_WINDOW = 1 << 16
"""receive buffer of a server that will stop reading, so that the client notices soon"""
KEEP_PAYLOAD_ABOVE = 10 << 20
KEEP_AT_MOST = 1 << 26
LINGER_NOT = struct.pack("ii", 1, 0)


@attrs.define(eq=False)
class HostileServer:
    """Listens on loopback. dial: opens a connection to the right server; keeps: payloads worth a hash are kept."""

    dial: Dial
    codec: Codec
    deed: Deed
    keeps: bool = False
    endpoint: str = ""
    begun: trio.Event = attrs.field(factory=trio.Event)
    conversations: list[Conversation] = attrs.field(factory=list)
    occasions: int = 0
    """how often the deed could have been done"""
    first_replies: dict[str, bytes] = attrs.field(factory=dict)
    kept: int = 0
    """payload bytes kept so far"""

    async def listen(self) -> trio.SocketListener:
        """Listen at 127.0.0.1 and a free port; `endpoint` says where from then on."""
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        if isinstance(self.deed, AtRequest) and self.deed.intrusion is Intrusion.STOPS_READING:
            listener.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_WINDOW)
        self.endpoint = "{}:{}".format(*listener.socket.getsockname()[:2])
        return listener

    async def serve(self, listener: trio.SocketListener) -> None:
        """Take connections until cancelled."""
        await trio.serve_listeners(self._take, [listener])

    async def _take(self, client: trio.SocketStream) -> None:
        conversation = Conversation(self.codec)
        self.conversations.append(conversation)
        async with client:
            if isinstance(self.deed, AtAccept):
                await self._entry(self.deed.entry, client, conversation)
                return
            try:
                server = await self.dial()
            except OSError as refused:
                conversation.told(b"", f"the right server takes no connection: {refused}")
                return
            async with server:
                await _Session(self, conversation, client, server).run()

    async def _entry(self, entry: Entry, client: trio.SocketStream, conversation: Conversation) -> None:
        self.begun.set()
        conversation.told(b"", entry.value)
        if entry is Entry.RESET:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NOT)
        if entry is Entry.MUTE:
            await Inlet(client).rest()
            conversation.left = True

    def due(self, command: str) -> bool:
        """Whether the deed is to be done at this occasion."""
        if not isinstance(self.deed, AtReply | AtRequest) or command != self.deed.command:
            return False
        self.occasions += 1
        return self.occasions > (self.deed.skip if isinstance(self.deed, AtReply) else 0)

    def worth_keeping(self, size: int) -> bool:
        """Whether a payload of that size is to be kept whole; counts it."""
        wanted = self.keeps and size > KEEP_PAYLOAD_ABOVE and self.kept + size <= KEEP_AT_MOST
        self.kept += size if wanted else 0
        return wanted


@attrs.define(eq=False)
class _Session:
    """One connection of the client, and the one to the right server that belongs to it."""

    hostile: HostileServer
    conversation: Conversation
    client: trio.SocketStream
    server: trio.abc.HalfCloseableStream
    awaiting: deque[str] = attrs.field(factory=deque)
    speaking: trio.Lock = attrs.field(factory=trio.Lock)
    fallen: bool = False
    """nothing is passed on any more"""
    hung_up: bool = False
    """the client's connection was closed from here"""

    async def run(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._replies, nursery.cancel_scope)
            try:
                await self._requests(Inlet(self.client))
            except Ended as end:
                self.conversation.left = not self.hung_up
                self.conversation.cut_off = end.rest
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                await Inlet(self.client).rest()  # the right server takes no more: see the client's end all the same
                self.conversation.left = not self.hung_up
            nursery.cancel_scope.cancel()

    def _begin(self) -> None:
        """The deed is done now."""
        self.hostile.begun.set()
        if self.conversation.done_at is None:
            self.conversation.done_at = len(self.conversation.events)

    async def _requests(self, inlet: Inlet) -> None:
        while True:
            head = await inlet.exactly(COMMAND_BYTES)
            head += await self._within(inlet, head, HEAD_BYTES - COMMAND_BYTES)
            asked = await self._request(inlet, head)
            if asked is None:
                return
            if not self.fallen:
                await self._at_request(asked.command)

    async def _within(self, inlet: Inlet, before: bytes, size: int) -> bytes:
        """Read on inside a request; an end there leaves what had come before too."""
        try:
            return await inlet.exactly(size)
        except Ended as end:
            raise Ended(before + end.rest) from end

    async def _request(self, inlet: Inlet, head: bytes) -> Asked | None:
        """Hear one request and pass it on; None when it cannot be read."""
        codec = self.hostile.codec
        declared = number(head[COMMAND_BYTES:])
        command = codec.dialect.commands.get(head[0])
        if command is None:
            self.conversation.odd = f"command byte {head[0]}, which protocol {codec.dialect.name} does not define"
            return None
        tailed = command.tail == "bytes"
        if declared > codec.dialect.constant("MAX_BODY") or (declared > LARGEST_GRAPH and not tailed):
            self.conversation.odd = f"{command.name} declares {declared} bytes"
            return None
        fixed = min(codec.fixed_bytes(command.name), declared) if tailed else declared
        body = await self._within(inlet, head, fixed)
        size = declared - fixed
        asked = Asked(command.name, declared, body, bytearray() if self.hostile.worth_keeping(size) else None)
        self.conversation.heard(head, asked)
        if command.answered:
            self.awaiting.append(command.name)
        await self._pass_on(head + body)
        await self._payload(inlet, asked)
        return asked

    async def _payload(self, inlet: Inlet, asked: Asked) -> None:
        deed = self.hostile.deed
        stops = isinstance(deed, AtRequest) and deed.intrusion is Intrusion.STOPS_READING
        if stops and self.hostile.due(asked.command):
            self._begin()
            self.conversation.told(b"", f"inside a {asked.command} {Intrusion.STOPS_READING.value}")
            await trio.sleep_forever()
        async for piece in inlet.pieces(asked.payload_size):
            await self._pass_on(piece)
            if asked.payload is not None:
                asked.payload.extend(piece)

    async def _pass_on(self, data: bytes) -> None:
        if self.fallen:
            self.conversation.after_end += len(data)
        else:
            await self.server.send_all(data)

    async def _at_request(self, command: str) -> None:
        """What happens behind a request that is not answered."""
        deed = self.hostile.deed
        if not isinstance(deed, AtRequest) or not self.hostile.due(command):
            return
        self._begin()
        if deed.intrusion is Intrusion.EMPTY_ANSWER:
            await self._say(bytes(SIZE_BYTES), f"an answer to {command}, which has none")
        else:
            self.conversation.told(b"", f"{command}: {deed.intrusion.value}")
            self.hung_up = self.fallen = True
            await self.client.aclose()

    async def _replies(self, scope: trio.CancelScope) -> None:
        inlet = Inlet(self.server)
        try:
            while True:
                body = await inlet.exactly(number(await inlet.exactly(SIZE_BYTES)))
                command = self.awaiting.popleft()
                self.conversation.events.append(Answered(command, body))
                self.hostile.first_replies.setdefault(command, body)
                await self._answer(command, body)
        except Ended:
            self.conversation.told(b"", "the right server closes the connection")
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return  # the client has gone, which the other direction sees too
        self.hung_up = True
        await self.client.aclose()
        scope.cancel()

    async def _answer(self, command: str, body: bytes) -> None:
        deed = self.hostile.deed
        if not isinstance(deed, AtReply) or not self.hostile.due(command):
            await self._say(len(body).to_bytes(SIZE_BYTES, "little") + body)
            return
        self._begin()
        data = framed(deed.act, self.hostile.codec, command, body, self.hostile.first_replies[command])
        match deed.act:
            case Interrupted(where, fall):
                await self._fall(command, data[: len(data) // 2] if where is Where.INSIDE else b"", fall)
            case Slowly(seconds, byte_by_byte):
                await self._slowly(data, seconds, byte_by_byte)
            case Claim(declared) if declared >= FROM_2_31:
                await self._flood(data, f"declares {declared} bytes, and zeros follow")
            case act:
                await self._say(data, str(act))

    async def _fall(self, command: str, begun: bytes, fall: Fall) -> None:
        where = f"inside the reply to {command}" if begun else f"instead of the reply to {command}"
        self.fallen = True
        await self._say(begun, f"{where} the server {fall.value}")
        if fall is Fall.RESETS:
            self.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NOT)
        if fall in (Fall.CLOSES, Fall.RESETS):
            self.hung_up = True
            await self.client.aclose()
        if fall is Fall.ENDS:
            await self.client.send_eof()
        await trio.sleep_forever()

    async def _slowly(self, data: bytes, seconds: float, byte_by_byte: bool) -> None:
        await trio.sleep(seconds)
        if not byte_by_byte:
            await self._say(data)
            return
        async with self.speaking:
            for at in range(len(data)):
                await self.client.send_all(data[at : at + 1])
                await trio.sleep(PAUSE_SECONDS if at < PAUSES else 0)
        self.conversation.told(data, "byte by byte")

    async def _flood(self, data: bytes, note: str) -> None:
        self.fallen = True
        await self._say(data, note)
        while True:
            await self.client.send_all(FLOOD)

    async def _say(self, data: bytes, note: str = "") -> None:
        async with self.speaking:
            if data:
                await self.client.send_all(data)
        self.conversation.told(data, note)
