"""What all connections of a server in miniature share, and how a connection of it ends."""

import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path

import attrs
import trio

from conformance.judge.codec import Codec, Value

__all__ = ["FIRST_BASE", "HERE", "MEMORY", "PROCESS", "STRIDE", "TOP", "Dead", "Held", "Refused", "World"]

MEMORY = 64 << 20
STRIDE = 1 << 28
FIRST_BASE = 1 << 40
TOP = 1 << 64
PROCESS = (0x5555_0000_0000, 0x5556_0000_0000)
"""addresses that would be those of a real server's process"""


HERE = "127.0.0.1"


class Refused(Exception):
    """A violation: the connection is closed."""


class Dead(Exception):
    """Where a wrong server would have died."""


@attrs.define
class Held:
    """A buffer, and whose it is."""

    owner: object
    base: int
    memory: bytearray


@attrs.define
class World:
    """cache: the folder of the tensor cache; device: who computes."""

    codec: Codec
    cache: Path | None = None
    buffers: dict[int, Held] = attrs.field(factory=dict)
    counter: Iterator[int] = attrs.field(factory=lambda: itertools.count(1))
    dead: str | None = None
    senders: dict[str, str] = attrs.field(factory=dict)
    """payloads that are kept > the address from which they came"""
    busy_until: float = 0.0
    stuck: bool = False
    turn: trio.Lock = attrs.field(factory=trio.Lock)
    device: trio.Lock = attrs.field(factory=trio.Lock)
    old_memory: bytearray = attrs.field(factory=bytearray)
    chunks: int = 0
    empty_graphs: set[int] = attrs.field(factory=set)
    unpacked: dict[bytes, Mapping[str, Value]] = attrs.field(factory=dict)
    """records that have been seen, in words: most come many times"""

    @property
    def used(self) -> int:
        """Bytes of all buffers."""
        return sum(len(held.memory) for held in self.buffers.values())
