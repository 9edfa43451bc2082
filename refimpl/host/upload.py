"""Before the first token: memory for every stage, then its weights, all devices at the same time.

All memory is asked for first, so that a node without enough of it is found before a byte is sent. Weights go straight
from the file in memory to the socket, in pieces small enough for the bar to move. A large weight is offered to its node
by its hash first (CACHE-2): a node with a cache may have it. While one travels, the next is hashed in a thread.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from itertools import zip_longest

import attrs
import numpy as np
import trio

from refimpl.host.backends.packing import pack
from refimpl.host.backends.protocol import Backend, Block, tensor_record
from refimpl.host.outlet import Advance
from refimpl.host.parallel import gather
from refimpl.host.placement.needs import CacheTensor, Draft, cache_size, weight_size
from refimpl.host.stage import Held, LoadedStage
from refimpl.kernels.fnv_lanes import fnv1a64_lanes

__all__ = ["remote_bytes", "reserve", "upload"]

PIECE = 8 << 20
"""bytes of one write"""
HASH_THRESHOLD = 10 << 20
"""bytes above which a weight is offered by its hash (CACHE-2)"""
COMPILER_PAYS = 1 << 30
"""bytes to hash from which on the compiled hash is worth the second that it takes to load"""


async def reserve(draft: Draft, backends: Mapping[int, Backend]) -> LoadedStage:
    """All memory of one stage: weights, zeroed cache, scratch. Raises OutOfMemory, NodeError."""
    held: list[Held] = []
    places: dict[str, np.void] = {}
    scratch: dict[int, Block] = {}
    for device in draft.devices:
        backend = backends[device]
        weights = draft.weights_on(device)
        sizes = [await weight_size(weight, backend) for weight in weights]
        records, _ = await _place(backend, [(w.name, w.type, w.ne) for w in weights], sizes, "weights")
        held += [Held(weight, device, records[weight.name]) for weight in weights]
        cache = draft.cache_on(device)
        cells, blocks = await _place(backend, cache, list(map(cache_size, cache)), "the KV cache")
        for block in blocks:
            await backend.clear(block)
        places |= records | cells
        scratch[device] = await backend.allocate(draft.scratch_on(device, backend.alignment), "computing")
    addresses = {name: (int(record["buffer"]), int(record["data"])) for name, record in places.items()}
    return LoadedStage(draft=draft, backends=backends, weights=tuple(held), addresses=addresses, scratch=scratch)


def remote_bytes(stages: Sequence[LoadedStage]) -> int:
    """Bytes of weights that nodes have to have."""
    return sum(held.weight.nbytes for stage in stages for held in stage.weights if stage.backends[held.device].remote)


async def upload(stages: Sequence[LoadedStage], advance: Advance) -> None:
    """Write the weights of all stages; `advance` hears of bytes to nodes only. Raises NodeError."""
    by_device: dict[int, list[Held]] = {}
    backends: dict[int, Backend] = {}
    for stage in stages:
        backends |= stage.backends
        for held in stage.weights:
            by_device.setdefault(held.device, []).append(held)
    hashed = [w for d, weights in by_device.items() if backends[d].remote for w in weights if _worth_a_hash(w)]
    hash_of = _hash(sum(held.weight.nbytes for held in hashed))
    loads = [_Load(backends[device], advance, hash_of) for device in by_device]
    await gather([partial(load.run, weights) for load, weights in zip(loads, by_device.values(), strict=True)])


@attrs.frozen(eq=False)
class _Load:
    """The weights of one device on their way."""

    backend: Backend
    advance: Advance
    hash_of: Callable[[memoryview], int]

    async def run(self, weights: Sequence[Held]) -> None:
        offered = [held for held in weights if self.backend.remote and _worth_a_hash(held)]
        digest = await self.digest(offered[0]) if offered else 0
        for held, later in zip_longest(offered, offered[1:]):
            calls: list[Callable[[], Awaitable[int]]] = [partial(self.offer, held, digest)]
            if later is not None:
                calls.append(partial(self.digest, later))
            digest = (await gather(calls))[-1]
        for held in weights:
            if held not in offered:
                await self.write(held)
        await self.backend.settle()

    async def digest(self, held: Held) -> int:
        return await trio.to_thread.run_sync(self.hash_of, held.weight.data.data)

    async def offer(self, held: Held, digest: int) -> int:
        """Have the node find it or send it; returns the bytes that travelled."""
        size = held.weight.nbytes
        if await self.backend.recall(held.record, digest):
            self.advance(0, size)
            return 0
        done = 0

        def progress(total: int) -> None:
            nonlocal done
            self.advance(total - done, 0)
            done = total

        await self.backend.write_kept(held.record, held.weight.data.data, progress)
        return size

    async def write(self, held: Held) -> None:
        view = held.weight.data.data
        for start in range(0, len(view), PIECE):
            piece = view[start : start + PIECE]
            await self.backend.write(held.record, piece, start)
            if self.backend.remote:
                self.advance(len(piece), 0)


def _worth_a_hash(held: Held) -> bool:
    return held.weight.nbytes > HASH_THRESHOLD


def _hash(size: int) -> Callable[[memoryview], int]:
    """The hash for `size` bytes in all: the compiled one takes a second to load and is five times as fast."""
    if size < COMPILER_PAYS:
        return fnv1a64_lanes
    from refimpl.kernels.cpu.fnv import fnv1a64

    return fnv1a64


async def _place(
    backend: Backend, tensors: Sequence[CacheTensor], sizes: Sequence[int], purpose: str
) -> tuple[dict[str, np.void], list[Block]]:
    """A record for each (name, type, extents) in new blocks, and these."""
    packing = pack(sizes, backend.alignment, backend.max_size)
    blocks = [await backend.allocate(size, purpose) for size in packing.buffers]
    records = {
        name: tensor_record(kind, ne, blocks[slot.buffer], slot.offset, name)
        for (name, kind, ne), slot in zip(tensors, packing.slots, strict=True)
    }
    return records, blocks
