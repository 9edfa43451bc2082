"""Cache types that a device cannot keep are found before anything is loaded, and told by the name of the flag."""

from collections.abc import Mapping

import attrs
import pytest

from refimpl.device.protocol import Allocation, Program
from refimpl.errors import UnsupportedError, UsageError
from refimpl.graph.checked import CheckedGraph
from refimpl.host.backends.local import LocalBackend
from refimpl.host.placement.probe import check_cache, probe_cache
from refimpl.limits import Limits
from refimpl.model.attention import CacheShape
from refimpl.model.gguf_file import open_model
from refimpl.tests.fake_device import FakeDevice
from refimpl.tests.model.tiny import TINY_PATH
from refimpl.tests.oracle_device import OracleDevice
from spec.names import Type

HPARAMS = open_model(TINY_PATH).hparams


class NoQ4Device(OracleDevice):
    """A device without kernels for Q4_0."""

    def compile(self, graph: CheckedGraph, allocations: Mapping[int, Allocation]) -> Program:
        if (graph.tensors.type == Type.Q4_0).any():
            raise UnsupportedError("GRAPH-19", "no kernel for SET_ROWS into Q4_0")
        return super().compile(graph, allocations)


async def probed(device: FakeDevice, cache: CacheShape) -> None:
    await probe_cache(LocalBackend(device, Limits()), HPARAMS, cache)


@pytest.mark.parametrize("flash", [True, False])
@pytest.mark.parametrize("kinds", [(Type.Q8_0, Type.F16), (Type.BF16, Type.BF16), (Type.Q5_1, Type.F32)])
async def test_what_a_device_can_keep_is_tried_and_leaves_nothing(kinds: tuple[Type, Type], flash: bool) -> None:
    device = OracleDevice()
    await probed(device, CacheShape(4096, flash, *kinds))
    assert (device.runs, device.used) == (1, 0)


async def test_plain_types_need_no_trial() -> None:
    device = FakeDevice()
    await probed(device, CacheShape(4096, True, Type.F16, Type.F32))
    assert (device.compiled, device.runs) == (0, 0)


async def test_what_it_cannot_keep_is_refused_with_flags_device_and_reason() -> None:
    with pytest.raises(UsageError, match=r"-ctk f16 -ctv q4_0: CPU \(bytes of a test\) cannot .*into Q4_0.*try f16"):
        await probed(NoQ4Device(), CacheShape(4096, True, Type.F16, Type.Q4_0))


@pytest.mark.parametrize(("k", "v", "flag"), [(Type.Q8_0, Type.F16, "-ctk q8_0"), (Type.F16, Type.Q4_1, "-ctv q4_1")])
def test_blocks_that_do_not_divide_a_head_are_refused(k: Type, v: Type, flag: str) -> None:
    narrow = attrs.evolve(HPARAMS, n_embd_head_k=80, n_embd_head_v=80)
    check_cache(HPARAMS, CacheShape(256, True, k, v))
    with pytest.raises(UsageError, match=rf"{flag}: its blocks of 32 do not divide the heads of 80"):
        check_cache(narrow, CacheShape(256, True, k, v))
