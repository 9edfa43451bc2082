"""A server in this process under a main host of its own process, which makes text token by token.

Both share the machine, as in use on one machine; a token's time is what the main host measures, so whatever the server
adds is in it. The prompt is empty: nothing but decoding is measured. One graph runs for each token.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import trio

from refimpl.bench.checks.indices import index_count, index_seconds
from refimpl.bench.checks.stages import APART, CHECKS, Stopwatch, watched
from refimpl.bench.checks.table import Cost, Row
from refimpl.bench.figures import DECODE
from refimpl.bench.programs import Plan, llama_bench, our_bench
from refimpl.device.protocol import Device
from refimpl.errors import UsageError
from refimpl.graph.checked import CheckedGraph
from refimpl.limits import Limits
from refimpl.service import running
from refimpl.service.server import Server
from refimpl.trace import GraphRan, TraceEvent
from spec.load import load

__all__ = ["INDICES", "NO_FOLDER", "checks", "clock_microseconds"]

HOST = "127.0.0.1"
INDICES = "indices in kernels"
BUILD = "build"
CALIBRATION = 20_000
NO_FOLDER = Path()
"""instead of the folder of stock's programs"""


async def checks(plan: Plan, open_device: Callable[[int], Device], report: Callable[[Cost], None]) -> None:
    """Measure under our main host, and under stock's where plan.stock is given. Raises ProcessFailed."""
    device = open_device(plan.threads)
    try:
        single = open_device(1)
        try:
            for_one_index = index_seconds(single)
        finally:
            single.close()
        report(await _under(plan, device, for_one_index, "refimpl"))
        if plan.stock != NO_FOLDER:
            report(await _under(plan, device, for_one_index, "stock"))
    finally:
        device.close()


@attrs.define
class _Heard:
    """What the server says of its runs, and of the graphs that it checks."""

    runs: int = 0
    indices: int = 0
    loop_begin: float = 0.0
    loop_seconds: float = 0.0

    def event(self, event: TraceEvent) -> None:
        if isinstance(event, GraphRan):
            self.runs += 1
            self.loop_begin = self.loop_begin or time.thread_time()
            self.loop_seconds = time.thread_time() - self.loop_begin

    def built(self, graph: CheckedGraph) -> None:
        self.indices = index_count(graph)


async def _under(plan: Plan, device: Device, for_one_index: float, host: str) -> Cost:
    stopwatch, heard = Stopwatch(), _Heard()
    server = Server([device], load().dialect(plan.dialect), Limits(), trace=heard.event)
    run = llama_bench if host == "stock" else our_bench
    with watched(stopwatch), _listening(heard):
        async with trio.open_nursery() as nursery:
            listeners = await trio.open_tcp_listeners(0, host=HOST)
            await nursery.start(server.serve, listeners)
            port = listeners[0].socket.getsockname()[1]
            speeds = await run(attrs.evolve(plan, prompt=0), f"{HOST}:{port}")
            nursery.cancel_scope.cancel()
    return _cost(host, stopwatch, heard, speeds[DECODE], for_one_index)


@contextmanager
def _listening(heard: _Heard) -> Iterator[None]:
    """Hear of every graph that has been checked."""
    right = getattr(running, BUILD)

    def build(*args: Any) -> CheckedGraph:
        graph: CheckedGraph = right(*args)
        heard.built(graph)
        return graph

    setattr(running, BUILD, build)
    try:
        yield
    finally:
        setattr(running, BUILD, right)


def _cost(host: str, stopwatch: Stopwatch, heard: _Heard, speed: float, for_one_index: float) -> Cost:
    tokens = heard.runs
    if not tokens:
        raise UsageError("no graph has run on the server: is the model too large for it?")
    rows = {name: Row(name, one.ns / 1e3 / tokens, one.calls / tokens) for name, one in stopwatch.spent.items()}
    in_kernels = Row(INDICES, 1e6 * for_one_index * heard.indices, heard.indices)
    calls = sum(stopwatch.spent[name].calls for name in CHECKS)
    return Cost(
        host=host,
        tokens=tokens,
        tokens_per_second=speed,
        rows=[*(rows[name] for name in CHECKS), in_kernels],
        beside=[rows[name] for name in APART],
        loop_microseconds=1e6 * heard.loop_seconds / max(1, tokens - 1),
        clock_microseconds=calls / tokens * clock_microseconds(),
    )


def clock_microseconds() -> float:
    """What it takes to time one call."""
    stopwatch = Stopwatch()
    name = next(iter(CHECKS))
    timed = stopwatch.around(name, lambda: None, starts=True)
    timed()
    begin = time.perf_counter_ns()
    for _ in range(CALIBRATION):
        timed()
    return (time.perf_counter_ns() - begin) / CALIBRATION / 1e3
