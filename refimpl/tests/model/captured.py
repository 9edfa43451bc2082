"""What stock llama.cpp sent to a server, from the vectors: payloads, graphs, and the logits that came back."""

from collections.abc import Iterator
from functools import cache
from importlib.resources import files

import attrs
import numpy as np
from numpy.typing import NDArray

from refimpl.limits import Limits
from refimpl.session.connection import NEED_DATA, Connection, ConnectionClosed, PayloadExpected, Role
from refimpl.wire.messages import GetTensor, GraphCompute, Hello, HelloReply, Message, SetTensor
from spec.load import load

__all__ = ["Run", "captured_runs", "captured_weights"]

VERSION = "7.0.0"


@attrs.frozen(eq=False)
class Run:
    """One graph that stock had run: the whole message, what its inputs held, and the result it read."""

    graph: GraphCompute
    inputs: dict[str, bytes]
    """by stock's name of the tensor, without the device in front and the copy number behind"""
    logits: NDArray[np.float32]


def _exchange(variant: str) -> Iterator[tuple[Message, bytes]]:
    """Each request of the long connection with its payload."""
    raw = (files("spec") / "vectors" / VERSION / variant / "main.c2s").read_bytes()
    connection = Connection(Role.SERVER, load().dialect(VERSION), Limits())
    connection.receive(raw)
    while not isinstance(event := connection.next_event(), ConnectionClosed) and event is not NEED_DATA:
        if isinstance(event, PayloadExpected):
            payload = bytearray(event.size)
            connection.take_payload(memoryview(payload))
            yield event.message, bytes(payload)
            continue
        if isinstance(event, Hello):
            connection.send(HelloReply(7, 0, 0))
        yield event, b""


def _results(variant: str) -> list[NDArray[np.float32]]:
    """Logits of each run: the only replies as long as a vocabulary of floats."""
    raw = (files("spec") / "vectors" / VERSION / variant / "main.s2c").read_bytes()
    found, at = [], 0
    while at < len(raw):
        size = int.from_bytes(raw[at : at + 8], "little")
        if size > 1000:
            found.append(np.frombuffer(raw, np.float32, size // 4, at + 8))
        at += 8 + size
    return found


@cache
def captured_weights(variant: str) -> dict[str, tuple[int, bytes]]:
    """Type number and bytes of every weight, by name."""
    weights: dict[str, tuple[int, bytes]] = {}
    for message, payload in _exchange(variant):
        if isinstance(message, SetTensor) and b"weight" in message.tensor["name"]:
            weights[bytes(message.tensor["name"]).decode()] = (int(message.tensor["type"]), payload)
    return weights


@cache
def captured_runs(variant: str) -> tuple[Run, ...]:
    """All runs in order: a warm-up of two tokens, the prompt, then one token each."""
    runs: list[Run] = []
    results = iter(_results(variant))
    inputs: dict[str, bytes] = {}
    graph: GraphCompute | None = None
    for message, payload in _exchange(variant):
        if isinstance(message, SetTensor):
            inputs[_plain_name(message)] = payload
        elif isinstance(message, GraphCompute):
            graph = message
        elif isinstance(message, GetTensor) and graph is not None:
            runs.append(Run(graph, dict(inputs), next(results)))
    return tuple(runs)


def _plain_name(message: SetTensor) -> str:
    """`inp_pos` from `RPC0[127.0.0.1:50062]#inp_pos#0`."""
    parts = bytes(message.tensor["name"]).decode().split("#")
    return parts[1] if len(parts) > 1 else parts[0]
