"""From a placement to stages at work: try what may be refused, ask for all memory, then fill it."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial

from refimpl.host.outlet import Advance
from refimpl.host.parallel import gather
from refimpl.host.placement.decide import Placement
from refimpl.host.placement.probe import probe_cache
from refimpl.host.stage import LoadedStage
from refimpl.host.upload import remote_bytes, reserve, upload

__all__ = ["load_stages"]


async def load_stages(
    placement: Placement, progress: Callable[[int], AbstractContextManager[Advance]]
) -> list[LoadedStage]:
    """The stages with their weights, in the order in which they run. Raises OutOfMemory, UsageError and NodeErrors.

    `progress` is given the bytes that nodes have to have, and yields what hears of those done.
    """
    for draft in {draft.stage.device: draft for draft in placement.drafts if draft.cache}.values():
        await probe_cache(placement.backends[draft.stage.device], draft.model.hparams, draft.context.cache)
    stages = await gather([partial(reserve, draft, placement.backends) for draft in placement.drafts])
    with progress(remote_bytes(stages)) as advance:
        await upload(stages, advance)
    return stages
