"""One run of the main host, from options to exit code: open, connect, place, load, continue the text.

stdout gets the prompt and the text and nothing else; everything for a person goes to stderr, an error as one line.
Exit codes: 0 done, 1 something cannot be used (a flag, a file, a node that never answered, too little memory), 3 a node
was lost on the way, 130 interrupted. In the last two cases the text made so far stays.
"""

import os
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from time import perf_counter

import attrs

from refimpl.device.protocol import Device
from refimpl.errors import (
    NodeError,
    NodeTimeout,
    NodeUnreachable,
    OutOfMemory,
    RefimplError,
    VersionMismatch,
)
from refimpl.host.backends.local import LocalBackend
from refimpl.host.command.options import Options
from refimpl.host.engine import Engine
from refimpl.host.generate import Ending, Generation, check_prompt
from refimpl.host.loading import load_stages
from refimpl.host.nodes import NodeDevice, choose, connect_all, device_lines
from refimpl.host.outlet import Outlet
from refimpl.host.placement.decide import Placement, decide
from refimpl.host.placement.needs import Context
from refimpl.host.placement.preview import describe, shares_of, stage_words
from refimpl.host.placement.probe import check_cache
from refimpl.host.sampling import Sampling
from refimpl.host.stage import LoadedStage
from refimpl.host.summary import Times, summary
from refimpl.limits import Limits
from refimpl.model.attention import CacheShape
from refimpl.model.batch import CELL_STEP
from refimpl.model.gguf_file import ModelFile, open_model
from refimpl.model.tokenizer import Tokenizer
from refimpl.model.weights import TOKEN_EMBD

__all__ = ["EXIT_FAILED", "EXIT_INTERRUPTED", "EXIT_NODE_LOST", "OpenDevice", "default_threads", "run"]

EXIT_FAILED = 1
EXIT_NODE_LOST = 3
EXIT_INTERRUPTED = 130
"""128 + SIGINT, as shells report it"""
MANY_CORES = 4
"""above it, half of the cores are taken to be second threads of the other half, as in llama.cpp"""


OpenDevice = Callable[[int], Device]
"""opens the local CPU for a number of threads; it is closed at the end of the run"""


@attrs.frozen(eq=False)
class _Job:
    """What is known before any node is spoken to."""

    model: ModelFile
    tokenizer: Tokenizer
    prompt: Sequence[int]
    context: Context


async def run(options: Options, outlet: Outlet, local: OpenDevice) -> int:
    """Run to the end and return the exit code; what goes wrong is said in one line. Cancelling it is an interrupt."""
    try:
        async with AsyncExitStack() as stack:
            await _run(options, outlet, local, stack)
    except NodeTimeout as error:
        outlet.fail(f"{error}; --rpc-timeout gives a slow node more time")
        return EXIT_NODE_LOST
    except NodeError as error:
        outlet.fail(error)
        return EXIT_FAILED if isinstance(error, NodeUnreachable | VersionMismatch) else EXIT_NODE_LOST
    except RefimplError as error:
        outlet.fail(error)
        return EXIT_FAILED
    return 0


async def _run(options: Options, outlet: Outlet, local: OpenDevice, stack: AsyncExitStack) -> None:
    begin = perf_counter()
    if options.list_devices:
        lines = await device_lines(await _connect(options, stack))
        outlet.show("".join(line + "\n" for line in lines).encode())
        return

    def open_local() -> LocalBackend:
        device = local(options.threads if options.threads > 0 else default_threads())
        stack.callback(device.close)
        return LocalBackend(device, Limits())

    job = _open(options, outlet)
    devices = choose(await _connect(options, stack), options.devices)
    placement = await decide(options, job.model, job.context, devices, open_local)
    if options.dry_run:
        await _preview(job, placement, outlet)
        return
    for share in await shares_of(placement) if options.verbose else ():
        outlet.say(share.line())
    stages = await _load(placement, outlet)
    engine = Engine(stages, job.model.tensors[TOKEN_EMBD], job.context.cache.n_ctx, job.context.ubatch)
    await engine.prepare(len(job.prompt))
    outlet.say(f"n_ctx = {engine.n_ctx}, n_batch = {options.batch}, n_ubatch = {engine.ubatch}")
    await _continue(options, job, engine, Times(load=perf_counter() - begin), outlet)


async def _connect(options: Options, stack: AsyncExitStack) -> tuple[NodeDevice, ...]:
    return await connect_all(stack, options.rpc, options.proto, options.patience)


async def _continue(options: Options, job: _Job, engine: Engine, times: Times, outlet: Outlet) -> None:
    """The text, and the summary whatever ends it."""
    sampling = Sampling.of(options, job.tokenizer.end_ids)
    outlet.say(sampling.words())
    generation = Generation(
        engine=engine, tokenizer=job.tokenizer, choose=sampling.choose, show=outlet.show, times=times
    )
    try:
        ending = await generation.run(job.prompt, options.predict)
        if ending is Ending.CONTEXT_FULL:
            outlet.say(f"context full: {engine.n_ctx} tokens; a larger one is asked for with -c")
    except NodeError:
        outlet.show(b"\n")  # the text stays, and what is said about the node begins a line
        raise
    finally:
        for line in summary(times):
            outlet.say(line)


def _open(options: Options, outlet: Outlet) -> _Job:
    """The model file, its tokenizer and the prompt. Raises ModelError and UsageError."""
    model = open_model(options.model, mode=options.load_mode)
    tokenizer = Tokenizer.from_metadata(model.metadata, options.model)
    trained = model.hparams.n_ctx_train
    n_ctx = -(-(options.ctx_size or trained) // CELL_STEP) * CELL_STEP
    if n_ctx > max(trained, CELL_STEP):
        outlet.say(f"warning: the model was trained on {trained} tokens of context, {n_ctx} are asked for (-c)")
    prompt = tokenizer.encode(options.prompt)
    if not options.dry_run:
        check_prompt(prompt, n_ctx)
    ubatch = min(options.ubatch or options.batch, options.batch, n_ctx)
    cache = CacheShape(n_ctx, options.flash.enabled, options.cache_type_k, options.cache_type_v)
    check_cache(model.hparams, cache)
    return _Job(model, tokenizer, prompt, Context(cache, ubatch))


async def _load(placement: Placement, outlet: Outlet) -> list[LoadedStage]:
    """Say what goes where, and bring it there."""
    for draft in placement.drafts:
        backend = placement.backends[draft.stage.device]
        outlet.say(f"{backend.name} ({backend.place}): {stage_words(draft.stage)}")
    return await load_stages(placement, outlet.progress)


async def _preview(job: _Job, placement: Placement, outlet: Outlet) -> None:
    """What --dry-run prints. Raises OutOfMemory where the real run would."""
    cache = job.context.cache
    facts = {
        "layers": str(job.model.hparams.n_layer),
        "context": f"{cache.n_ctx} tokens",
        "K and V": f"{cache.type_k.name.lower()} and {cache.type_v.name.lower()}",
        "flash attention": "on" if cache.flash else "off",
        "graphs per token": str(sum(len(draft.pieces) for draft in placement.drafts)),
    }
    shares = await shares_of(placement)
    outlet.show("".join(line + "\n" for line in describe(shares, facts)).encode())
    short = [share.backend.name for share in shares if share.missing]
    if short:
        names = ", ".join(short)
        raise OutOfMemory(f"{names}: not enough memory; shorten the context (-c), or divide otherwise (-ngl, -ts, -ot)")


def default_threads() -> int:
    """What -t is without being given."""
    cores = len(os.sched_getaffinity(0))
    return cores if cores <= MANY_CORES else cores // 2
