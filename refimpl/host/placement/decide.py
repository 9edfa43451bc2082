"""From the flags and the nodes to a placement: which stage runs where, with what it needs there, nothing allocated yet.

-ngl auto gives the devices as many layers as fit their free memory, less a reserve for whatever else they do; the rest
stays on the local CPU. That is the meaning in llama.cpp, whose reserve is 1 GiB a device (`--fit-target`); here it is
that, or an eighth of the free memory where that is less. `all` and numbers are taken at their word.
"""

from collections.abc import Callable, Mapping, Sequence

import attrs

from refimpl.errors import UsageError
from refimpl.host.backends.protocol import Backend
from refimpl.host.backends.remote import RemoteBackend
from refimpl.host.command.options import Layers, Options
from refimpl.host.nodes import NodeDevice
from refimpl.host.parallel import gather
from refimpl.host.placement.needs import Context, Draft, draft, needs_on
from refimpl.host.placement.overrides import resolve
from refimpl.host.placement.plan import LOCAL, place, shares
from refimpl.model.gguf_file import ModelFile

__all__ = ["Placement", "decide", "room"]

RESERVE = 1 << 30
RESERVED_SHARE = 8
"""one part in so many of the free memory is enough of a reserve"""


@attrs.frozen(eq=False)
class Placement:
    """What runs where."""

    drafts: tuple[Draft, ...]
    """in the order in which they run"""
    backends: Mapping[int, Backend]
    """by device number, those with work"""


def room(free: int) -> int:
    """Bytes of the free memory that -ngl auto may use."""
    return free - min(RESERVE, free // RESERVED_SHARE)


async def decide(
    options: Options,
    model: ModelFile,
    context: Context,
    devices: Sequence[NodeDevice],
    open_local: Callable[[], Backend],
) -> Placement:
    """Place all layers and weights. Raises UsageError, and the NodeErrors of nodes that are asked for memory."""
    if options.tensor_split and not devices:
        raise UsageError("-ts divides layers among devices and there are none")
    backends: dict[int, Backend] = {number: RemoteBackend(device) for number, device in enumerate(devices)}
    free = [free for free, _ in await gather([backend.memory for backend in backends.values()])]
    weights = shares(options.tensor_split, free)
    where = resolve(options.overrides, model.tensors, devices)

    def drafts_for(layers: int | Layers) -> tuple[Draft, ...]:
        count = None if isinstance(layers, Layers) else layers
        plan = place(model.hparams.n_layer, count, weights)
        return tuple(draft(model, stage, context, where) for stage in plan.stages())

    if options.gpu_layers is Layers.AUTO and devices:
        drafts = await _most_that_fit(model.hparams.n_layer, drafts_for, backends, free)
    else:
        drafts = drafts_for(options.gpu_layers)
    used = {device for stage in drafts for device in stage.devices}
    if LOCAL in used:
        backends[LOCAL] = open_local()
    return Placement(drafts, {number: backend for number, backend in backends.items() if number in used})


async def _most_that_fit(
    n_layer: int,
    drafts_for: Callable[[int | Layers], tuple[Draft, ...]],
    backends: Mapping[int, Backend],
    free: Sequence[int],
) -> tuple[Draft, ...]:
    """The drafts with the most layers on devices that these have room for."""

    async def fits(drafts: Sequence[Draft]) -> bool:
        needs = [await needs_on(drafts, device, backend) for device, backend in backends.items()]
        return all(need.total <= room(there) for need, there in zip(needs, free, strict=True))

    best = drafts_for(Layers.ALL)
    if await fits(best):
        return best
    best, least, most = drafts_for(0), 0, n_layer - 1
    while least < most:
        middle = (least + most + 1) // 2
        drafts = drafts_for(middle)
        if await fits(drafts):
            best, least = drafts, middle
        else:
            most = middle - 1
    return best
