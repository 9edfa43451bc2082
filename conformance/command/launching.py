"""From the command line to judges: reach or start the testees, find out their version, look at them once.

Rules
- Every started testee has a process, a port and a log of its own. They are started one after the other: what the first
  compiles and keeps, the others find.
- Judges are ready when they are handed out; when the block ends, bystanders are let go and processes ended.
"""

import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from conformance.command.options import Options
from conformance.judge.codec import Codec
from conformance.judge.probe import version_of
from conformance.judge.run import Judge
from conformance.judge.steps import Mismatch
from conformance.judge.testee import Attached, NotReached, Spawned, is_loopback
from conformance.judge.watch.level import Watch
from conformance.testees import command_of, known
from spec.load import load
from spec.schema import parse_version

__all__ = ["judges"]


@asynccontextmanager
async def judges(wanted: Options) -> AsyncIterator[tuple[Judge, ...]]:
    """One judge for each job; raises NotReached, or what stands in testees.command_of."""
    async with AsyncExitStack() as stack:
        if wanted.endpoint is not None:
            testees: list[Attached] | list[Spawned] = [_attached(wanted, *wanted.endpoint)]
            proto = wanted.proto
        else:
            entry = known()[wanted.testee] if wanted.testee is not None else None
            command = await command_of(entry) if entry is not None else wanted.spawn or ""
            proto = wanted.proto or (entry.proto if entry is not None else None)
            testees = await _started(stack, wanted, command, proto)
        found = tuple([await _looked(testee, proto, wanted.timeout) for testee in testees])
        try:
            yield found
        finally:
            for judge in found:
                await judge.leave()


def _attached(wanted: Options, host: str, port: int) -> Attached:
    if not wanted.own_host and not is_loopback(host, port):
        raise NotReached(
            f"{host} is not this machine; cases may crash its server: --i-own-this-host says that it is yours"
        )
    return Attached(host, port)


async def _started(stack: AsyncExitStack, wanted: Options, command: str, proto: str | None) -> list[Spawned]:
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="refimpl-conformance-")))
    testees = []
    for job in range(wanted.jobs):
        own = folder / str(job)
        own.mkdir()
        testees.append(Spawned(command, own / "log", _greeter(proto), wanted.port))
        testees[-1].name = wanted.testee or command
        await stack.enter_async_context(testees[-1])
    return testees


def _greeter(proto: str | None) -> Codec:
    """A codec that can greet: HELLO is the same in all described versions."""
    return Codec(load().dialect(proto or load().newest))


async def _looked(testee: Attached | Spawned, proto: str | None, timeout: float) -> Judge:
    """A judge that has seen the testee serve an ordinary session."""
    judge = Judge(testee, await _codec(testee, proto, timeout), timeout, Watch(testee.look))
    try:
        await judge.look()
    except (Mismatch, OSError) as wrong:
        ending = await testee.death(timeout)
        raise NotReached(
            f"{testee.name} does not serve an ordinary session: {wrong}; {ending or 'it lives'}"
        ) from wrong
    return judge


async def _codec(testee: Attached | Spawned, proto: str | None, timeout: float) -> Codec:
    """By which version to judge: the one asked for, unless the testee says another major; else the testee's."""
    try:
        said = await version_of(testee.dial, _greeter(proto), timeout)
    except OSError as refused:
        raise NotReached(f"{testee.name}: {refused}") from refused
    spec = load()
    by_major = {parse_version(version)[0]: version for version in spec.versions}
    if proto is None:
        if said is None or said[0] not in by_major:
            what = "does not answer HELLO" if said is None else f"says {'.'.join(map(str, said))}"
            raise NotReached(f"{testee.name} {what}; known versions: {', '.join(spec.versions)} (--proto)")
        return Codec(spec.dialect(by_major[said[0]]))
    if said is not None and said[0] != parse_version(proto)[0]:
        raise NotReached(f"{testee.name} says {'.'.join(map(str, said))}, and was to be judged by {proto}")
    return Codec(spec.dialect(proto))
