"""A testee under load: started or attached, with its address, its process, its version and how many it serves at once.

Rules
- A testee that is started gets a port of its own, so that programs can be pointed at it; `prefix` is put in front of
  its command, to give it an environment or limits.
- One that serves a single client can have no bystander, and half of what a load does would only make the others wait:
  `serves_two` says so, and each load decides what is left of it.
"""

import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import attrs

from conformance.judge.codec import Codec
from conformance.judge.peer import Dial
from conformance.judge.probe import serves_two, version_of
from conformance.judge.testee import Attached, NotReached, Spawned, Testee, is_loopback
from conformance.load.usage import Look, look_at
from conformance.testees import command_of, known
from spec.load import load
from spec.schema import parse_version

__all__ = ["ONE_CLIENT", "Loaded", "Wanted", "running"]

HOST = "127.0.0.1"
CACHE_PLACE = "{cache}"
ONE_CLIENT = "the testee serves one client at a time"


@attrs.frozen(kw_only=True)
class Wanted:
    """Which testee, from the command line: exactly one of endpoint, spawn and testee is given."""

    endpoint: tuple[str, int] | None = None
    spawn: str | None = None
    testee: str | None = None
    port: int = 0
    timeout: float = 30.0
    """seconds for one step of a conversation: a loaded machine is slow"""
    prefix: Sequence[str] = ()
    """words in front of the command"""
    cache: Path | None = None
    """the folder for {cache} in the command, when it matters where that is"""


@attrs.frozen(kw_only=True)
class Loaded:
    """A running testee. pid: its process, where that is known."""

    testee: Testee
    codec: Codec
    timeout: float
    host: str
    port: int
    pid: int | None
    serves_two: bool

    @property
    def endpoint(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def dial(self) -> Dial:
        return self.testee.dial

    @property
    def look(self) -> Look:
        """Looks at what it holds."""
        return look_at(self.pid)


@asynccontextmanager
async def running(wanted: Wanted, folder: Path) -> AsyncIterator[Loaded]:
    """Start or find the testee; it is ended with the block when it was started. Raises NotReached."""
    if wanted.endpoint is not None:
        host, port = wanted.endpoint
        if not is_loopback(host, port):
            raise NotReached(f"{host} is not this machine: a load may bring a server down")
        yield await _looked_at(Attached(host, port), wanted, (host, port))
        return
    command = await _command(wanted)
    port = wanted.port or _free_port()
    async with Spawned(command, folder / "testee.log", _greeter(), port) as testee:
        testee.name = wanted.testee or command
        yield await _looked_at(testee, wanted, (HOST, port))


async def _command(wanted: Wanted) -> str:
    command = wanted.spawn or await command_of(known()[wanted.testee or ""])
    if wanted.cache is not None:
        if CACHE_PLACE not in command:
            raise NotReached(
                f"a command without {CACHE_PLACE}, where it takes the folder, has no tensor cache to look at"
            )
        command = command.replace(CACHE_PLACE, str(wanted.cache))
    return " ".join((*wanted.prefix, command.strip()))


async def _looked_at(testee: Testee, wanted: Wanted, address: tuple[str, int]) -> Loaded:
    try:
        said = await version_of(testee.dial, _greeter(), wanted.timeout)
    except OSError as refused:
        raise NotReached(f"{testee.name}: {refused}") from refused
    spec = load()
    by_major = {parse_version(version)[0]: version for version in spec.versions}
    if said is None or said[0] not in by_major:
        raise NotReached(f"{testee.name} says no version that is known: {', '.join(spec.versions)}")
    codec = Codec(spec.dialect(by_major[said[0]]))
    return Loaded(
        testee=testee,
        codec=codec,
        timeout=wanted.timeout,
        host=address[0],
        port=address[1],
        pid=testee.grounds.pid,
        serves_two=await serves_two(testee.dial, codec, min(wanted.timeout, 5.0)),
    )


def _greeter() -> Codec:
    """HELLO is the same in all described versions."""
    return Codec(load().dialect(load().newest))


def _free_port() -> int:
    with socket.create_server((HOST, 0)) as probe:
        return int(probe.getsockname()[1])
