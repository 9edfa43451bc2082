"""-ot: which weight a pattern moves where, and what cannot be moved."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from refimpl.errors import UsageError
from refimpl.host.command.options import Override
from refimpl.host.nodes import NodeDevice, connect_all
from refimpl.host.placement.overrides import resolve
from refimpl.host.placement.plan import LOCAL
from refimpl.tests.service.harness import running

NAMES = ["blk.0.attn_q.weight", "blk.0.ffn_up.weight", "blk.1.ffn_up.weight", "output.weight"]


@asynccontextmanager
async def two_devices() -> AsyncIterator[Sequence[NodeDevice]]:
    async with running() as first, running() as second, AsyncExitStack() as stack:
        yield await connect_all(stack, [first.endpoint, second.endpoint])


def resolved(devices: Sequence[NodeDevice], *texts: str) -> dict[str, int]:
    return resolve([Override.parse(text) for text in texts], NAMES, devices)


async def test_a_pattern_is_searched_for_and_the_first_that_is_found_counts() -> None:
    async with two_devices() as devices:
        found = resolved(devices, "blk.1.*=CPU", "ffn=RPC1", r"^output\.=RPC0")
    assert found == {"blk.1.ffn_up.weight": LOCAL, "blk.0.ffn_up.weight": 1, "output.weight": 0}


async def test_a_device_may_have_the_name_of_llama_cpps_buffers() -> None:
    async with two_devices() as devices:
        assert resolved(devices, f"output=RPC0[{devices[0].place}]") == {"output.weight": 0}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("ffn=RPC7", r"-ot ffn=RPC7: .*no such device; known: CPU, RPC0, RPC1"),
        ("moe=CPU", r"-ot moe=CPU: no weight has a name like this"),
    ],
)
async def test_a_rule_without_a_match_is_refused(text: str, complaint: str) -> None:
    async with two_devices() as devices:
        with pytest.raises(UsageError, match=complaint):
            resolved(devices, text)
