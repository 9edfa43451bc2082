"""The meter reads off a connection's bytes what a client holds; checked on stock's own conversations."""

from pathlib import Path

import pytest

import spec
from refimpl.bench.meter import ConnectionMeter, Held
from refimpl.limits import Limits
from refimpl.session.connection import Connection, Role
from refimpl.wire.messages import AllocBuffer, AllocBufferReply, FreeBuffer, Hello, HelloReply, Reply
from spec.load import load

DIALECT = load().dialect("7.0.0")
HELLO, HELLO_REPLY = 33, 36
"""bytes of the first request and its reply, heads included: what follows is only legal behind them"""
VECTORS = Path(spec.__path__[0]) / "vectors" / "7.0.0"


@pytest.mark.parametrize("chunk", [1 << 20, 4099])
@pytest.mark.parametrize("run", ["flash", "no-flash"])
def test_a_recorded_run_holds_its_buffers_until_it_ends(run: str, chunk: int) -> None:
    held = Held()
    meter = ConnectionMeter(DIALECT, Limits(), held)
    asked, answered = ((VECTORS / run / name).read_bytes() for name in ("main.c2s", "main.s2c"))
    meter.from_client(asked[:HELLO])
    meter.from_server(answered[:HELLO_REPLY])
    for start in range(HELLO, len(asked), chunk):
        meter.from_client(asked[start : start + chunk])
    for start in range(HELLO_REPLY, len(answered), chunk):
        meter.from_server(answered[start : start + chunk])
    assert held.peak > len(asked) // 2
    meter.close()
    assert held.now == 0


def test_what_was_freed_counts_in_the_peak_alone() -> None:
    client = Connection(Role.CLIENT, DIALECT, Limits())
    server = Connection(Role.SERVER, DIALECT, Limits())
    held = Held()
    meter = ConnectionMeter(DIALECT, Limits(), held)

    def exchange(request: bytes, reply: Reply | None = None) -> None:
        meter.from_client(request)
        server.receive(request)
        server.next_event()
        if reply is not None:
            answer = server.send(reply)
            meter.from_server(answer)
            client.receive(answer)
            client.next_event()

    exchange(client.send(Hello()), HelloReply(7, 0, 0))
    exchange(client.send(AllocBuffer(0, 1000)), AllocBufferReply(77, 1000))
    exchange(client.send(AllocBuffer(0, 9999)), AllocBufferReply(0, 0))
    exchange(client.send(FreeBuffer(77)))
    exchange(client.send(AllocBuffer(0, 600)), AllocBufferReply(78, 600))
    assert held == Held(now=600, peak=1000)
