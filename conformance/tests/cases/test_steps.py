"""Steps of the judge do what they say: waiting, reading little by little, looking at the testee itself."""

import os
from pathlib import Path

import numpy as np
import pytest
import trio
import trio.testing

from conformance.judge.fnv import fnv1a64
from conformance.judge.grounds import Grounds
from conformance.judge.peer import Peer
from conformance.judge.steps import (
    CacheFiles,
    Connect,
    Damage,
    End,
    Kept,
    Mapped,
    Mappings,
    NotOffered,
    Pause,
    Receive,
    Remove,
    Reply,
    Silence,
    Sip,
)
from spec.load import load

TIMEOUT = 5.0
FRAME = (3).to_bytes(8, "little") + b"abc"


async def test_a_pause_says_and_takes_in_nothing(autojump_clock: trio.testing.MockClock) -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    peer = Peer(ours, TIMEOUT)
    await theirs.send_all(FRAME)
    begin = trio.current_time()
    assert await peer.perform(Connect()) is None
    assert await peer.perform(Pause(2.0)) is None
    assert trio.current_time() - begin == 2.0
    assert peer.record == []
    assert await peer.perform(Receive()) == Reply(3, b"abc")


async def test_waiting_for_a_moment_only(autojump_clock: trio.testing.MockClock) -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    peer = Peer(ours, TIMEOUT)
    await theirs.send_all(FRAME[:4])
    assert await peer.perform(Receive(within=0.5)) == Silence(0.5, FRAME[:4])
    assert trio.current_time() == pytest.approx(0.5, abs=0.01)
    await theirs.send_all(FRAME[4:])
    assert await peer.perform(Receive()) == Reply(3, b"abc")


async def test_sips_are_left_for_the_next_receive(autojump_clock: trio.testing.MockClock) -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    peer = Peer(ours, TIMEOUT)
    await theirs.send_all(FRAME * 2)
    for _ in range(3):
        assert await peer.perform(Sip(2)) is None
    assert [await peer.perform(Receive()) for _ in range(2)] == [Reply(3, b"abc")] * 2


async def test_a_sip_where_nothing_comes_any_more_is_no_fault(autojump_clock: trio.testing.MockClock) -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    peer = Peer(ours, TIMEOUT)
    await peer.perform(Sip(2))
    await theirs.aclose()
    await peer.perform(Sip(2))
    assert await peer.perform(Receive()) == End()


def test_addresses_of_a_process_are_known_and_others_are_not() -> None:
    place = np.zeros(1 << 20)
    mapped = Grounds(pid=os.getpid()).perform(Mappings())
    assert isinstance(mapped, Mapped)
    assert mapped.holds(int(place.ctypes.data))
    assert not mapped.holds(0)


def test_files_of_a_cache_are_found_wherever_they_stand_and_can_be_damaged(tmp_path: Path) -> None:
    (tmp_path / "rpc").mkdir()
    (tmp_path / "rpc" / "0123").write_bytes(b"payload")
    grounds = Grounds(cache=tmp_path)
    assert grounds.perform(CacheFiles()) == Kept({"0123": 7})
    assert grounds.perform(Damage("0123", b"pay")) is None
    assert (tmp_path / "rpc" / "0123").read_bytes() == b"pay"


@pytest.mark.parametrize("blocked", [False, True])
def test_files_of_a_cache_can_be_removed_and_kept_from_coming_back(tmp_path: Path, blocked: bool) -> None:
    (tmp_path / "0123").write_bytes(b"payload")
    assert Grounds(cache=tmp_path).perform(Remove("0123", blocked)) is None
    assert (tmp_path / "0123").is_dir() == blocked
    assert not (tmp_path / "0123").is_file()


async def test_a_connection_comes_from_the_address_that_is_named() -> None:
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener:
        ours = await Grounds(port=listener.socket.getsockname()[1]).dial_from("127.0.0.2")
        theirs = await listener.accept()
        assert theirs.socket.getpeername()[0] == "127.0.0.2"
        await ours.aclose()
        await theirs.aclose()


async def test_a_testee_elsewhere_has_no_other_way_in() -> None:
    with pytest.raises(NotOffered):
        await Grounds().dial_from("127.0.0.2")


@pytest.mark.parametrize("step", [Mappings(), CacheFiles(), Damage("0123", b"")], ids=lambda step: type(step).__name__)
def test_what_cannot_be_seen_is_not_offered(step: Mappings | CacheFiles | Damage) -> None:
    with pytest.raises(NotOffered):
        Grounds().perform(step)


def test_a_file_that_is_not_there_cannot_be_damaged(tmp_path: Path) -> None:
    with pytest.raises(NotOffered, match="0123"):
        Grounds(cache=tmp_path).perform(Damage("0123", b""))


@pytest.mark.parametrize(
    ("payload", "digest"),
    [(b"", 0xCBF29CE484222325), (b"a", 0xAF63DC4C8601EC8C), (b"ggml-rpc", 0x8529A8AF04C15D5C)],
)
def test_hashes_are_those_of_the_specification(payload: bytes, digest: int) -> None:
    assert fnv1a64(load().dialect("7.0.0"), payload) == digest


def test_trailing_zeros_are_hashed_like_other_bytes() -> None:
    dialect = load().dialect("7.0.0")
    state = fnv1a64(dialect, b"a")
    for _ in range(5):
        state = state * dialect.fnv_prime % (1 << 64)
    assert fnv1a64(dialect, b"a" + bytes(5)) == state
