"""-ngl auto: the most layers that the devices have room for."""

from contextlib import AsyncExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refimpl.host.backends.local import LocalBackend
from refimpl.host.command.options import Layers, Options
from refimpl.host.nodes import connect_all
from refimpl.host.placement.decide import RESERVE, RESERVED_SHARE, Placement, decide, room
from refimpl.host.placement.needs import Context, needs_on
from refimpl.host.placement.plan import LOCAL
from refimpl.limits import Limits
from refimpl.model.attention import CacheShape
from refimpl.model.gguf_file import open_model
from refimpl.tests.fake_device import FakeDevice
from refimpl.tests.model.tiny import TINY_PATH
from refimpl.tests.service.harness import running

MODEL = open_model(TINY_PATH)
CONTEXT = Context(CacheShape(256), 64)


async def decided(capacities: list[int], layers: int | Layers = Layers.AUTO) -> tuple[Placement, list[int]]:
    """The placement on nodes of these capacities, and the bytes that each of them has to give."""
    options = Options(model="m", rpc=tuple(f"a:{i + 1}" for i in range(len(capacities))), gpu_layers=layers)
    async with AsyncExitStack() as stack:
        nodes = [await stack.enter_async_context(running(FakeDevice(capacity))) for capacity in capacities]
        devices = await connect_all(stack, [node.endpoint for node in nodes])
        placement = await decide(options, MODEL, CONTEXT, devices, lambda: LocalBackend(FakeDevice(), Limits()))
        needs = [await needs_on(placement.drafts, d, b) for d, b in placement.backends.items() if d != LOCAL]
        return placement, [need.total for need in needs]


def layers_on_nodes(placement: Placement) -> int:
    stages = [draft.stage for draft in placement.drafts]
    return sum(stage.last - stage.first for stage in stages if stage.device != LOCAL)


async def test_everything_goes_where_there_is_room() -> None:
    placement, _ = await decided([1 << 28])
    assert layers_on_nodes(placement) == MODEL.hparams.n_layer
    assert LOCAL not in placement.backends


@pytest.mark.parametrize("count", [1, 2])
async def test_as_many_layers_go_as_fit_and_one_byte_less_is_one_layer_less(count: int) -> None:
    _, (need,) = await decided([1 << 28], count)
    exact = next(free for free in range(need, 2 * need) if room(free) >= need)
    fitting, (used,) = await decided([exact])
    assert (layers_on_nodes(fitting), used) == (count, need)
    tight, _ = await decided([exact - 2])
    assert layers_on_nodes(tight) == count - 1


async def test_all_is_taken_at_its_word() -> None:
    placement, _ = await decided([1 << 16], Layers.ALL)
    assert layers_on_nodes(placement) == MODEL.hparams.n_layer


@given(st.integers(0, 1 << 50))
def test_a_reserve_is_left(free: int) -> None:
    assert free - RESERVE <= room(free) <= free
    assert free - room(free) <= free // RESERVED_SHARE
