"""No memory left: one client asks for more and more until it is refused, and goes; the others live on.

Rules
- Refused means handle 0 (ALLOC-4), never a closed connection, never a testee that the system ends. A client that is
  told so keeps what it has and is served.
- While nothing is left, a bystander's session computes, and a fresh client is served, if perhaps not given memory. When
  the client has gone, as much can be had again, and resident memory is near where it was.
- With `touch` each buffer is filled, so that the memory is really taken, at least where something smaller than the
  machine limits the testee: an address space (`--address-space`) or a control group of its own (`--cgroup`).
- A testee that never refuses is stopped asking at MOST_BUFFERS, which is a fault if more was granted than it has.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs

from conformance.cases.talk import asked, greet, number_of, still_served
from conformance.judge.codec import Codec
from conformance.judge.steps import Mismatch, Reset, Send, Talk
from conformance.load.client import Bystander, Client, client, is_served
from conformance.load.report import Findings
from conformance.load.testees import ONE_CLIENT, Loaded, Wanted, running
from conformance.load.usage import MIB, settled

__all__ = ["Plan", "exhaust", "until_refused"]

PIECES = 24
"""how many buffers would take all that is free"""
MOST_BUFFERS = 1024
ABSURD = (1 << 62, (1 << 63) - 1, 1 << 63, (1 << 64) - 4096, (1 << 64) - 1)
BACK_SECONDS = 20.0
SLACK = 1
"""pieces that may be fewer at a later turn: others take memory of the machine meanwhile"""


@attrs.frozen(kw_only=True)
class Plan:
    """address_space, cgroup: bytes that the testee is limited to; allowance: bytes that may stay resident."""

    turns: int = 3
    touch: bool = False
    address_space: int | None = None
    cgroup: int | None = None
    allowance: int = 8 * MIB


async def exhaust(wanted: Wanted, plan: Plan, findings: Findings, folder: Path) -> None:
    """Run the load."""
    with _limits(plan, findings) as prefix:
        async with running(attrs.evolve(wanted, prefix=prefix), folder) as loaded:
            await until_refused(loaded, plan, findings)


async def until_refused(loaded: Loaded, plan: Plan, findings: Findings) -> None:
    """The load on a testee that runs, with whatever limits it."""
    if not loaded.serves_two:
        findings.note(f"{ONE_CLIENT}: no bystander")
        await _turns(loaded, plan, findings, None)
        return
    bystander = Bystander(loaded.dial, loaded.codec, loaded.timeout)
    await bystander.arrive()
    await bystander.check()
    await _turns(loaded, plan, findings, bystander)
    await bystander.leave()


@contextmanager
def _limits(plan: Plan, findings: Findings) -> Iterator[tuple[str, ...]]:
    """Yields the words before the command that limit the testee."""
    words: tuple[str, ...] = ()
    if plan.address_space is not None:
        words = ("prlimit", f"--as={plan.address_space}")
        findings.figure(address_space_MiB=plan.address_space / MIB)
    if plan.cgroup is None:
        yield words
        return
    group = _group(plan.cgroup)
    findings.figure(cgroup_MiB=plan.cgroup / MIB)
    try:
        yield ("sh", "-c", f"'echo $$ > {group}/cgroup.procs; exec \"$@\"'", "sh", *words)
    finally:
        group.rmdir()


def _group(size: int) -> Path:
    """A control group below this process's own that may take `size` bytes; OSError where that is not allowed."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            return _made(Path("/sys/fs/cgroup/memory") / path.lstrip("/"), "memory.limit_in_bytes", size)
        if not controllers and (Path("/sys/fs/cgroup") / path.lstrip("/") / "memory.max").exists():
            return _made(Path("/sys/fs/cgroup") / path.lstrip("/"), "memory.max", size)
    raise OSError("no control group limits memory here")


def _made(parent: Path, limit: str, size: int) -> Path:
    group = parent / f"refimpl-load-{os.getpid()}"
    group.mkdir()
    (group / limit).write_text(str(size))
    return group


async def _turns(loaded: Loaded, plan: Plan, findings: Findings, bystander: Bystander | None) -> None:
    before, counts = loaded.look(), []
    for turn in range(plan.turns):
        try:
            async with client(loaded.dial, loaded.codec, loaded.timeout) as hog:
                counts.append(await _hog(hog, loaded, plan, findings))
                await _live_on(loaded, findings, bystander)
                if turn % 2:
                    await hog.perform(Reset())
        except (Mismatch, OSError) as wrong:
            findings.fault(f"turn {turn + 1}: {wrong}")
        if ending := loaded.testee.dead():
            findings.fault(f"turn {turn + 1}: {ending}")
            return
        findings.tell(f"turn {turn + 1}: {counts[-1] if counts else 0} buffers; {loaded.look() or 'unseen'}")
        if before is not None:
            await settled(loaded.look, before, plan.allowance, BACK_SECONDS)
    findings.figure(turns=plan.turns, buffers_by_turn=", ".join(map(str, counts)))
    if counts and min(counts) < counts[0] - SLACK:
        findings.fault(f"memory has not come back: buffers by turn {counts}")
    _afterwards(loaded, plan, findings, before.memory if before else None)


async def _hog(hog: Client, loaded: Loaded, plan: Plan, findings: Findings) -> int:
    """Allocate until it is refused; how many buffers that were."""
    codec = loaded.codec
    await hog.do(greet(codec))
    free = await hog.do(number_of(codec, "GET_DEVICE_MEMORY", "free", device=0))
    total = await hog.do(number_of(codec, "GET_DEVICE_MEMORY", "total", device=0))
    for size in ABSURD:
        if await hog.do(_granted(codec, size)):
            findings.fault(f"{size} bytes were granted, of {total}")
    piece = max(free // PIECES, 1)
    findings.figure(free_MiB=free / MIB, piece_MiB=piece / MIB)
    count = 0
    while count < MOST_BUFFERS and (handle := await hog.do(_granted(codec, piece))):
        count += 1
        if plan.touch:
            await hog.perform(Send(codec.request("BUFFER_CLEAR", handle=handle, value=count % 256)))
            await hog.do(still_served(codec))
    if count * piece > total:
        findings.fault(f"{count * piece / MIB:.0f} MiB were granted, of {total / MIB:.0f}")
    if count == MOST_BUFFERS:
        findings.note(f"it was never refused: {count} buffers of {piece / MIB:.0f} MiB were granted")
    await hog.do(still_served(codec))
    return count


def _granted(codec: Codec, size: int) -> Talk[int]:
    """The handle of a new buffer; 0 when it is refused."""
    body = yield from asked(codec, "ALLOC_BUFFER", device=0, size=size)
    return codec.read("alloc_buffer_rsp", "handle", body)


async def _live_on(loaded: Loaded, findings: Findings, bystander: Bystander | None) -> None:
    """While nothing is left."""
    if bystander is None:
        return
    try:
        for _ in range(2):
            await bystander.check()
    except Mismatch as wrong:
        findings.fault(f"a bystander's session while no memory is left: {wrong}")
    if wrong_fresh := await is_served(loaded.dial, loaded.codec, loaded.timeout):
        findings.fault(f"a fresh client while no memory is left: {wrong_fresh}")


def _afterwards(loaded: Loaded, plan: Plan, findings: Findings, before: int | None) -> None:
    now = loaded.look()
    if now is None or before is None:
        findings.note("its memory could not be seen")
        return
    findings.figure(memory_before_MiB=before / MIB, memory_after_MiB=now.memory / MIB)
    if now.memory - before > plan.allowance:
        findings.fault(f"{(now.memory - before) / MIB:.1f} MiB stayed resident, {plan.allowance / MIB:g} are allowed")
