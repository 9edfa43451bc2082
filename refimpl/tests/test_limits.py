"""The limits fit each other, and the machine."""

import attrs
import pytest

from refimpl.limits import Limits
from refimpl.wire.codec import Codec
from spec.load import load
from spec.names import Command

MIB, GIB = 1 << 20, 1 << 30


def test_a_graph_of_as_many_nodes_and_tensors_as_are_allowed_fits() -> None:
    limits = Limits()
    _, largest = Codec(load().dialect(load().newest), limits).request_bounds(Command.GRAPH_COMPUTE)
    assert largest <= limits.graph_bytes
    assert limits.graph_nodes * 8 + limits.graph_tensors * 296 < largest <= limits.message_bytes_in_all


def test_connections_and_buffers_of_one_leave_some_for_others() -> None:
    limits = Limits()
    assert limits.connections_per_peer < limits.connections
    assert limits.buffers < limits.buffers_in_all


def test_a_large_machine_has_the_limits_as_they_are() -> None:
    assert Limits().scaled(16 * GIB) == Limits()


@pytest.mark.parametrize("memory", [GIB, 4 * GIB])
def test_on_a_small_one_all_together_take_a_small_part_of_it(memory: int) -> None:
    limits = Limits().scaled(memory)
    free = limits.connections * limits.graph_memory_free
    assert 2 * limits.message_bytes_in_all + limits.graph_memory_in_all + free <= memory // 16
    assert limits.graph_bytes <= limits.message_bytes_in_all
    assert limits.message_bytes_in_all >= 8 * MIB


def test_what_somebody_asked_for_stays() -> None:
    limits = attrs.evolve(Limits(), graph_memory_in_all=GIB)
    assert limits.scaled(GIB, keep={"graph_memory_in_all"}).graph_memory_in_all == GIB
    assert limits.scaled(GIB).graph_memory_in_all < GIB // 16
