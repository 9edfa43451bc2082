"""Every way of running a model, alternating in one run, so that all of them meet the same machine."""

from collections.abc import Callable

from refimpl.bench.figures import Server
from refimpl.bench.programs import Plan, llama_bench, our_bench, serving
from refimpl.bench.ways import WAYS, Driver, Sample

__all__ = ["compare"]


async def compare(plan: Plan, report: Callable[[Sample], None]) -> None:
    """Measure in rounds; each sample goes to `report` as soon as it is there. Raises ProcessFailed.

    A first round, which may compile kernels and reads the model from the disk, is not counted.
    """
    async with serving(plan, Server.STOCK) as stock, serving(plan, Server.OURS) as ours:
        endpoints = {None: None, Server.STOCK: stock.endpoint, Server.OURS: ours.endpoint}
        for number in range(-1, plan.rounds):
            for way in WAYS:
                run = llama_bench if way.driver is Driver.STOCK else our_bench
                speeds = await run(plan, endpoints[way.server])
                for figure, speed in speeds.items() if number >= 0 else ():
                    report(Sample(way, figure, number, speed))
