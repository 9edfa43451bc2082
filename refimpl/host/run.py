"""One run of the main host, from options to exit code: open, connect, place, load, continue the text.

stdout gets the prompt and the text and nothing else; everything for a person goes to stderr, an error as one line.
Exit codes: 0 done, 1 something cannot be used (a flag, a file, a node that never answered, too little memory), 3 a node
was lost on the way, 130 interrupted. In the last two cases the text made so far stays.
"""

import os
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from functools import partial
from time import perf_counter

import attrs

from refimpl.device.protocol import Device
from refimpl.errors import NodeError, NodeUnreachable, RefimplError, UsageError, VersionMismatch
from refimpl.host.backends.local import LocalBackend
from refimpl.host.backends.protocol import Backend
from refimpl.host.backends.remote import RemoteBackend
from refimpl.host.command.options import Options
from refimpl.host.engine import Engine
from refimpl.host.generate import Ending, Generation, check_prompt
from refimpl.host.nodes import NodeDevice, choose, connect_all, device_lines
from refimpl.host.outlet import Outlet
from refimpl.host.parallel import gather
from refimpl.host.plan import LOCAL, Plan, place, shares
from refimpl.host.sampling import Sampling
from refimpl.host.stage import LoadedStage
from refimpl.host.summary import Times, summary
from refimpl.host.upload import Context, remote_bytes, reserve, upload
from refimpl.limits import Limits
from refimpl.model.attention import CacheShape
from refimpl.model.batch import CELL_STEP
from refimpl.model.gguf_file import ModelFile, open_model
from refimpl.model.tokenizer import Tokenizer
from refimpl.model.weights import TOKEN_EMBD

__all__ = ["EXIT_FAILED", "EXIT_INTERRUPTED", "EXIT_NODE_LOST", "OpenDevice", "run"]

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
        lines = await device_lines(await connect_all(stack, options.rpc))
        outlet.show("".join(line + "\n" for line in lines).encode())
        return

    def open_local() -> LocalBackend:
        device = local(options.threads if options.threads > 0 else _default_threads())
        stack.callback(device.close)
        return LocalBackend(device, Limits())

    job = _open(options, outlet)
    devices = choose(await connect_all(stack, options.rpc), options.devices)
    plan, backends = await _place(options, job, devices, open_local)
    stages = await _load(job, plan, backends, outlet)
    for stage in stages if options.verbose else ():
        outlet.say(f"{stage.backend.name}: {stage.memory_words()}")
    engine = Engine(stages, job.model.tensors[TOKEN_EMBD], job.context.cache.n_ctx, job.context.ubatch)
    await engine.prepare(len(job.prompt))
    outlet.say(f"n_ctx = {engine.n_ctx}, n_batch = {options.batch}, n_ubatch = {engine.ubatch}")
    await _continue(options, job, engine, Times(load=perf_counter() - begin), outlet)


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
    finally:
        for line in summary(times):
            outlet.say(line)


def _open(options: Options, outlet: Outlet) -> _Job:
    """The model file, its tokenizer and the prompt. Raises ModelError and UsageError."""
    model = open_model(options.model)
    tokenizer = Tokenizer.from_metadata(model.metadata, options.model)
    trained = model.hparams.n_ctx_train
    n_ctx = -(-(options.ctx_size or trained) // CELL_STEP) * CELL_STEP
    if n_ctx > max(trained, CELL_STEP):
        outlet.say(f"warning: the model was trained on {trained} tokens of context, {n_ctx} are asked for (-c)")
    prompt = tokenizer.encode(options.prompt)
    check_prompt(prompt, n_ctx)
    ubatch = min(options.ubatch or options.batch, options.batch, n_ctx)
    return _Job(model, tokenizer, prompt, Context(CacheShape(n_ctx, options.flash.enabled), ubatch))


async def _place(
    options: Options, job: _Job, devices: Sequence[NodeDevice], open_local: Callable[[], LocalBackend]
) -> tuple[Plan, list[Backend]]:
    """Which layer goes where, and the backends by device number; the local one, if it has work, is the last."""
    if options.tensor_split and not devices:
        raise UsageError("-ts divides layers among devices and there are none")
    free = [free for free, _ in await gather([device.device.memory for device in devices])]
    plan = place(job.model.hparams.n_layer, options.gpu_layers, shares(options.tensor_split, free))
    backends: list[Backend] = [RemoteBackend(device) for device in devices]
    if any(stage.device == LOCAL for stage in plan.stages()):
        backends.append(open_local())  # LOCAL is -1
    return plan, backends


async def _load(job: _Job, plan: Plan, backends: Sequence[Backend], outlet: Outlet) -> list[LoadedStage]:
    """Ask for all memory, then fill it."""
    _tell_plan(outlet, plan, backends)
    calls = [partial(reserve, job.model, stage, backends[stage.device], job.context) for stage in plan.stages()]
    stages = await gather(calls)
    with outlet.progress(remote_bytes(stages)) as advance:
        await upload(stages, advance)
    return stages


def _default_threads() -> int:
    cores = len(os.sched_getaffinity(0))
    return cores if cores <= MANY_CORES else cores // 2


def _tell_plan(outlet: Outlet, plan: Plan, backends: Sequence[Backend]) -> None:
    for stage in plan.stages():
        backend = backends[stage.device]
        layers = f"layers {stage.first} to {stage.last - 1}" if stage.last > stage.first else ""
        parts = ", ".join(filter(None, [layers, "output" if stage.head else ""]))
        outlet.say(f"{backend.name} ({backend.place}): {parts}")
