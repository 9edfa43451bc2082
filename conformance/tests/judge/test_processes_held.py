"""What processes hold is looked at with their descendants."""

import os
import signal
import subprocess
from collections.abc import Iterator

import psutil
import pytest
import trio

from conformance.judge.watch.processes import MIB, Excess, Processes, Usage, listener_at

PARENT = "sleep 600 & echo ready; wait"


@pytest.fixture
def parent() -> Iterator[int]:
    """A shell with a child, both ended in the end."""
    with subprocess.Popen(["sh", "-c", PARENT], stdout=subprocess.PIPE, start_new_session=True) as shell:
        assert shell.stdout is not None
        assert shell.stdout.readline() == b"ready\n"
        try:
            yield shell.pid
        finally:
            os.killpg(shell.pid, signal.SIGKILL)


async def test_descendants_count(parent: int) -> None:
    (child,) = psutil.Process(parent).children()
    held = Processes(parent).look()
    assert held is not None
    assert held.descriptors == psutil.Process(parent).num_fds() + child.num_fds()


async def test_a_process_that_has_ended_is_not_alive_and_holds_nothing(parent: int) -> None:
    processes = Processes(parent)
    assert processes.alive()
    os.killpg(parent, signal.SIGKILL)
    await trio.to_thread.run_sync(os.waitid, os.P_PID, parent, os.WEXITED | os.WNOWAIT)
    assert not processes.alive()


def test_a_process_that_is_not_there_is_not_looked_at() -> None:
    with pytest.raises(ProcessLookupError):
        Processes(1 << 30)


async def test_who_listens_is_found_by_address_and_port() -> None:
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener:
        port = listener.socket.getsockname()[1]
        assert listener_at(frozenset({"127.0.0.1"}), port) == os.getpid()
        assert listener_at(frozenset({"192.0.2.1"}), port) is None
    assert listener_at(frozenset({"127.0.0.1"}), port) is None


@pytest.mark.parametrize(
    ("excess", "told"),
    [
        (Excess(3 * MIB // 2, 0), "1.5 MiB"),
        (Excess(-1, 2), "2 descriptors"),
        (Excess(MIB, 1), "1.0 MiB and 1 descriptor"),
        (Excess(0, -1), "nothing"),
    ],
)
def test_an_excess_is_told_in_words(excess: Excess, told: str) -> None:
    assert str(excess) == told


def test_what_is_above_a_level_is_the_difference() -> None:
    assert Usage(5, 3).above(Usage(7, 1)) == Excess(-2, 2)
