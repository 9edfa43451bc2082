"""Stock's server and ours under the same stock main host, alternating in one run, so that both meet the same machine.

Order: starts (each server alone), then both run to the end: one metered pass that also warms them up, the rounds of
llama-bench, their peak memory, the rounds of uploads. An idle server costs the other nothing but its memory.
"""

import time
from collections.abc import Callable
from pathlib import Path

from conformance.interop.processes import Server as Running
from refimpl.bench.figures import MIB, Measured, Server
from refimpl.bench.meter import Held
from refimpl.bench.programs import Plan, llama_bench, serving
from refimpl.bench.proxy import metered
from refimpl.bench.upload import upload_seconds
from spec.load import load

__all__ = ["side_by_side"]

UPLOAD_SIZES = (16 * MIB,) * 12 + (4 * MIB,) * 12 + (MIB,) * 16
"""256 MiB in the sizes that tensors of a small model have"""


Report = Callable[[Measured], None]


async def side_by_side(plan: Plan, report: Report) -> None:
    """Measure everything, in rounds; each result goes to `report` as soon as it is there. Raises ProcessFailed."""
    await _measure_starts(plan, report)
    async with serving(plan, Server.STOCK) as stock, serving(plan, Server.OURS) as ours:
        both = {Server.STOCK: stock, Server.OURS: ours}
        held = {server: await _client_bytes(plan, running) for server, running in both.items()}
        for number in range(plan.rounds):
            for server, running in both.items():
                for figure, speed in (await llama_bench(plan, running.endpoint)).items():
                    report(Measured(figure, server, number, speed))
        for server, running in both.items():
            report(Measured("memory beyond buffers", server, 0, (_peak_bytes(running.pid) - held[server]) / MIB))
        for number in range(plan.rounds):
            for server, running in both.items():
                seconds = await upload_seconds(running.endpoint, plan.dialect, UPLOAD_SIZES)
                report(Measured("upload", server, number, sum(UPLOAD_SIZES) / MIB / seconds))


async def _measure_starts(plan: Plan, report: Report) -> None:
    """Time from the start of the process to its answer to HELLO; a first one, which may compile, is not counted."""
    for server in Server:
        async with serving(plan, server):
            pass
    for number in range(plan.rounds):
        for server in Server:
            begin = time.monotonic()
            async with serving(plan, server):
                report(Measured("start", server, number, time.monotonic() - begin))


async def _client_bytes(plan: Plan, running: Running) -> int:
    """The most that the main host holds at one time on a server, in bytes: one pass through a metering proxy."""
    held = Held()
    async with metered(running.endpoint, load().dialect(plan.dialect), held) as proxy:
        await llama_bench(plan, proxy)
    return held.peak


def _peak_bytes(pid: int) -> int:
    """Largest resident size that the process ever had (VmHWM)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"no VmHWM for process {pid}")
