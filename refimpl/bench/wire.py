"""The path around the kernels: what a server takes for a message, a round trip, a graph that hardly computes.

Both servers in one run, alternating; every figure is a median over many trips of one connection. The graph has as many
nodes as that of a decode step of a small model, and next to nothing to compute; it is new to the server each time
because a parameter of its first node is another, and the figure has the round trip of a GET_TENSOR behind it.
"""

import statistics
from collections.abc import Callable, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from refimpl.bench.figures import MIB, Figure, Measured, Server
from refimpl.bench.line import Line, bytes_at
from refimpl.bench.programs import Plan, serving
from refimpl.bench.upload import upload_seconds
from refimpl.graph.define import GraphBuilder
from refimpl.wire import messages as wire
from spec.load import load
from spec.names import Type

__all__ = ["FIGURES", "measure_wire"]

MICRO, MILLI = 1e6, 1e3
ALIGNMENT = 256
"""of any server that is known"""
BURST = 1000
TRIPS = 300
GRAPHS = 30
LAYERS, WIDTH = 250, 64
PAYLOAD = bytes(64)
LOGITS = 196_608
"""bytes of 49,152 logits"""
UPLOAD = (16 * MIB,) * 12

FIGURES = (
    Figure("message of a burst", "us", at_most=15.0),
    Figure("GET_TENSOR of 4 bytes", "us", at_most=60.0),
    Figure("GET_TENSOR of 192 KiB", "us"),
    Figure("RECOMPUTE of nothing, GET", "us", at_most=120.0),
    Figure("new graph, 1000 nodes", "ms", at_most=5.0),
    Figure("known graph, 1000 nodes", "ms", at_most=0.3),
    Figure("upload", "MiB/s", at_least_ratio=1.0),
)


async def measure_wire(plan: Plan, report: Callable[[Measured], None]) -> None:
    """Measure every figure of both servers in rounds. Raises ProcessFailed, OSError, EOFError."""
    async with serving(plan, Server.STOCK) as stock, serving(plan, Server.OURS) as ours:
        for number in range(plan.rounds):
            for server, running in ((Server.STOCK, stock), (Server.OURS, ours)):
                for figure, value in _values(running.endpoint, plan.dialect).items():
                    report(Measured(figure, server, number, value))
                seconds = await upload_seconds(running.endpoint, plan.dialect, UPLOAD)
                report(Measured("upload", server, number, sum(UPLOAD) / MIB / seconds))


def _values(endpoint: str, dialect: str) -> Mapping[str, float]:
    """The figures of one connection."""
    with Line(endpoint, load().dialect(dialect)) as line:
        handle, base = line.buffer(LOGITS)
        record = bytes_at(handle, base, LOGITS)
        get = line.encoded(wire.GetTensor(record, 0, 4))
        put = line.encoded(wire.SetTensor(record, 0, 0, len(PAYLOAD)), PAYLOAD)
        burst = put * BURST + get
        found = {
            "message of a burst": _median(line, [burst] * 10) / BURST * MICRO,
            "GET_TENSOR of 4 bytes": _median(line, [get] * TRIPS) * MICRO,
            "GET_TENSOR of 192 KiB": _median(line, [line.encoded(wire.GetTensor(record, 0, LOGITS))] * TRIPS) * MICRO,
        }
        nothing = wire.GraphCompute(0, 0, np.zeros(0, np.uint64), _alone(record)[:0])
        line.seconds(line.encoded(nothing) + get)
        again = line.encoded(wire.GraphRecompute(0)) + get
        found["RECOMPUTE of nothing, GET"] = _median(line, [again] * TRIPS) * MICRO
        bodies = [body + get for body in _graphs(line)]
        found["new graph, 1000 nodes"] = _median(line, bodies) * MILLI
        found["known graph, 1000 nodes"] = _median(line, [bodies[-1]] * GRAPHS) * MILLI
        return found


def _median(line: Line, requests: list[bytes]) -> float:
    """Seconds of a round trip, each of which has one reply; the first one is not counted."""
    line.seconds(requests[0])
    return statistics.median(line.seconds(request) for request in requests)


def _alone(record: np.void) -> NDArray[np.void]:
    """(1,) of one record."""
    return np.array([record], record.dtype)


def _graphs(line: Line) -> Iterator[bytes]:
    """GRAPH_COMPUTE of the same graph, each with another parameter in its first node."""
    builder = GraphBuilder()
    x = builder.leaf("x", Type.F32, (WIDTH,))
    for layer in range(LAYERS):
        weight = builder.leaf(f"{layer}.weight", Type.F32, (WIDTH, WIDTH))
        scale = builder.leaf(f"{layer}.scale", Type.F32, (WIDTH,))
        normed = builder.mul(builder.rms_norm(x, 1e-5), scale)
        x = builder.add(x, builder.mul_mat(weight, normed))
    builder.output(x)
    _lay_out(line, builder)
    nodes, records = builder.message()
    for number in range(GRAPHS + 1):
        changed = records.copy()
        first = int(np.flatnonzero(changed["id"] == nodes[0])[0])
        changed["op_params"][first, 0] = np.float32(1e-5 * (1 + number)).view(np.int32)
        yield line.encoded(wire.GraphCompute(0, 0, nodes, changed))


def _lay_out(line: Line, builder: GraphBuilder) -> None:
    """Give every leaf and every result a place on the server."""
    sizes = {leaf: -(-leaf.nbytes // ALIGNMENT) * ALIGNMENT for leaf in builder.leaves}
    handle, address = line.buffer(sum(sizes.values()))
    for leaf, size in sizes.items():
        builder.place(leaf, handle, address)
        address += size
    builder.place_intermediates(*line.buffer(builder.plan_memory(ALIGNMENT)))
