"""Who may connect, and how often from one place."""

import pytest
import trio

from refimpl.limits import Limits
from refimpl.service.bounds.admission import Admission, canonical, place_of
from refimpl.service.client import connect
from refimpl.tests.service.harness import Peer, running
from refimpl.trace import ConnectionClosed, ConnectionOpened


@pytest.mark.parametrize(
    ("host", "address", "place"),
    [
        ("192.0.2.7", "192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7", "192.0.2.7"),
        ("::1", "::1", "::/64"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::1", "fe80::/64"),
    ],
)
def test_an_address_is_the_same_however_it_is_written(host: str, address: str, place: str) -> None:
    assert (str(canonical(host)), place_of(host)) == (address, place)


def test_places_are_counted_each_for_itself() -> None:
    admission = Admission(Limits(connections=4, connections_per_peer=2))
    assert [bool(admission.enter("192.0.2.7")) for _ in range(3)] == [False, False, True]
    assert [bool(admission.enter("192.0.2.8")) for _ in range(3)] == [False, False, True]
    assert "limits.connections)" in admission.enter("192.0.2.9")
    admission.leave("192.0.2.7")
    assert not admission.enter("::ffff:192.0.2.7")
    assert admission.count == 4


def test_nothing_is_kept_of_who_has_gone() -> None:
    admission = Admission(Limits())
    for number in range(10_000):
        host = f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"
        assert not admission.enter(host)
        admission.leave(host)
    assert (admission.count, len(admission._places)) == (0, 0)


async def test_the_one_too_many_is_closed_unread_and_the_others_go_on() -> None:
    async with (
        running(limits=Limits(connections_per_peer=2)) as node,
        connect(node.endpoint) as one,
        connect(node.endpoint) as other,
    ):
        for _ in range(20):
            assert await Peer(await node.stream()).end() == b""
        await one.barrier()
        await other.barrier()
        refused = node.trace.of(ConnectionClosed)
        assert len(refused) == 20
        assert all("2 connections from 127.0.0.1" in event.note for event in refused)
        assert len(node.trace.of(ConnectionOpened)) == 2


async def test_a_place_is_free_again_when_its_connection_has_ended() -> None:
    async with running(limits=Limits(connections_per_peer=1)) as node:
        for number in range(1, 6):
            async with connect(node.endpoint) as client:
                await client.barrier()
            while node.server.connections:
                await trio.lowlevel.checkpoint()
            assert len(node.trace.of(ConnectionOpened)) == number
