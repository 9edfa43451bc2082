"""Weights on their way: large ones are offered by their hash, and what a node has in its cache does not travel."""

from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import attrs
import numpy as np
import pytest
from gguf import GGMLQuantizationType
from gguf.quants import quantize

from refimpl.host.backends.protocol import Backend
from refimpl.host.backends.remote import RemoteBackend
from refimpl.host.nodes import connect_all
from refimpl.host.placement.needs import Context, draft
from refimpl.host.placement.plan import Stage
from refimpl.host.upload import COMPILER_PAYS, HASH_THRESHOLD, remote_bytes, reserve, upload
from refimpl.model.attention import CacheShape
from refimpl.model.gguf_file import ModelFile, open_model
from refimpl.service.cache.tensors import TensorCache
from refimpl.tests.fake_device import FakeDevice
from refimpl.tests.model.tiny import N_EMBD, write_model
from refimpl.tests.service.harness import running
from refimpl.trace import CommandTaken
from spec.load import load

ROWS = 160_000
"""of the embedding: enough that it is worth a hash"""
Q8_0 = GGMLQuantizationType.Q8_0


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ModelFile:
    values = np.random.default_rng(5).normal(0, 1, (ROWS, N_EMBD)).astype(np.float32)
    weights = {"token_embd.weight": (quantize(values, Q8_0), Q8_0)}
    return open_model(write_model(tmp_path_factory.mktemp("model") / "m.gguf", weights=weights))


@attrs.frozen
class Loading:
    """What one upload did."""

    commands: Sequence[str]
    sent: int
    known: int
    memory: bytes


async def load_onto(model: ModelFile, cache: TensorCache | None) -> Loading:
    """Upload all of a model to a fresh node."""
    told: list[tuple[int, int]] = []
    async with running(FakeDevice(), cache=cache) as node, AsyncExitStack() as stack:
        backends: dict[int, Backend] = {0: RemoteBackend((await connect_all(stack, [node.endpoint]))[0])}
        whole = Stage(device=0, first=0, last=1, head=True)
        stage = await reserve(draft(model, whole, Context(CacheShape(256), 4), {}), backends)
        before = len(node.trace.of(CommandTaken))
        await upload([stage], lambda sent, known: told.append((sent, known)))
        commands = [event.command for event in node.trace.of(CommandTaken)][before:]
        first = min(node.device.live, key=lambda allocation: allocation.address)
        assert sum(sent + known for sent, known in told) == remote_bytes([stage]) == model.nbytes
        return Loading(commands, sum(sent for sent, _ in told), sum(known for _, known in told), bytes(first.data))


def test_thresholds_are_those_of_the_specification() -> None:
    assert load().dialect("7.0.0").constants["HASH_THRESHOLD"].value == HASH_THRESHOLD


def test_the_embedding_of_this_test_is_offered_by_its_hash(model: ModelFile) -> None:
    assert HASH_THRESHOLD < model.tensors["token_embd.weight"].nbytes < COMPILER_PAYS


async def test_a_node_without_a_cache_gets_every_byte(model: ModelFile) -> None:
    loading = await load_onto(model, None)
    assert (loading.sent, loading.known) == (model.nbytes, 0)
    assert loading.commands.count("SET_TENSOR_HASH") == 1


async def test_what_a_node_has_in_its_cache_does_not_travel(model: ModelFile, tmp_path: Path) -> None:
    cache = TensorCache(tmp_path / "rpc")
    first, second = await load_onto(model, cache), await load_onto(model, cache)
    large = model.tensors["token_embd.weight"].nbytes
    assert (first.sent, first.known) == (model.nbytes, 0)
    assert (second.sent, second.known) == (model.nbytes - large, large)
    assert first.commands.count("SET_TENSOR") == second.commands.count("SET_TENSOR") + 1
    assert second.memory == first.memory
    assert [path.stat().st_size for path in (tmp_path / "rpc").glob("*/*")] == [large]


async def test_a_damaged_cache_is_not_believed(model: ModelFile, tmp_path: Path) -> None:
    cache = TensorCache(tmp_path / "rpc")
    first = await load_onto(model, cache)
    (kept,) = (tmp_path / "rpc").glob("*/*")
    damaged = bytearray(kept.read_bytes())
    damaged[-1] ^= 1
    kept.write_bytes(damaged)
    second = await load_onto(model, cache)
    assert (second.sent, second.known) == (model.nbytes, 0)
    assert second.memory == first.memory
