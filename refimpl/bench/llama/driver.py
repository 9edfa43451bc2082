"""Runs llama-bench's tests on our engine: random tokens, one warm-up, then the repetitions, timed around the engine.

A model is loaded once for each setup, with a context for the longest of its tests. A repetition begins with an empty
sequence; the tokens of its depth are read before the clock starts.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from datetime import UTC, datetime
from time import perf_counter_ns

import attrs
import numpy as np

from refimpl.bench.llama.outcome import Loaded, Outcome
from refimpl.bench.llama.trials import Setup, Trial
from refimpl.host.backends.local import LocalBackend
from refimpl.host.command.options import Options
from refimpl.host.engine import Engine
from refimpl.host.loading import load_stages
from refimpl.host.nodes import choose, connect_all
from refimpl.host.outlet import Advance
from refimpl.host.placement.decide import Placement, decide
from refimpl.host.placement.needs import Context
from refimpl.host.placement.probe import check_cache
from refimpl.host.run import OpenDevice
from refimpl.limits import Limits
from refimpl.model.attention import CacheShape
from refimpl.model.batch import CELL_STEP
from refimpl.model.gguf_file import ModelFile, open_model
from refimpl.model.weights import TOKEN_EMBD

__all__ = ["Job", "run_job"]

SEED = 0


@attrs.frozen(kw_only=True)
class Job:
    """All that one call measures."""

    setups: Sequence[Setup]
    trials: Sequence[Trial]
    repetitions: int = 5
    warmup: bool = True
    rpc: tuple[str, ...] = ()
    proto: str | None = None


async def run_job(job: Job, local: OpenDevice, report: Callable[[Outcome], None]) -> None:
    """Measure everything; each outcome goes to `report` as soon as it is there. Raises RefimplError."""
    for setup in job.setups:
        async with AsyncExitStack() as stack:
            engine, loaded = await _load(job, setup, local, stack)
            for trial in job.trials:
                report(await _measure(job, setup, trial, engine, loaded))


async def _load(job: Job, setup: Setup, local: OpenDevice, stack: AsyncExitStack) -> tuple[Engine, Loaded]:
    """The engine of a setup, until `stack` closes."""
    options = Options(
        model=setup.model,
        rpc=job.rpc,
        proto=job.proto,
        gpu_layers=setup.gpu_layers,
        flash=setup.flash,
        cache_type_k=setup.type_k,
        cache_type_v=setup.type_v,
    )

    def open_local() -> LocalBackend:
        device = local(setup.threads)
        stack.callback(device.close)
        return LocalBackend(device, Limits())

    model = open_model(setup.model)
    longest = max(trial.depth + trial.tokens for trial in job.trials)
    n_ctx = -(-longest // CELL_STEP) * CELL_STEP
    cache = CacheShape(n_ctx, setup.flash.enabled, setup.type_k, setup.type_v)
    check_cache(model.hparams, cache)
    ubatch = min(setup.piece, n_ctx)
    devices = choose(await connect_all(stack, job.rpc, job.proto), None)
    placement = await decide(options, model, Context(cache, ubatch), devices, open_local)
    stages = await load_stages(placement, _silent)
    return Engine(stages, model.tensors[TOKEN_EMBD], n_ctx, ubatch), _facts(model, placement, job.rpc)


@contextmanager
def _silent(total: int) -> Iterator[Advance]:
    yield lambda sent, known: None


def _facts(model: ModelFile, placement: Placement, nodes: tuple[str, ...]) -> Loaded:
    sizes: dict[str, int] = {}
    for tensor in model.tensors.values():
        sizes[tensor.type.name] = sizes.get(tensor.type.name, 0) + tensor.nbytes
    n_params = sum(int(np.prod(tensor.ne)) for tensor in model.tensors.values())
    kind = f"{model.hparams.arch} {n_params / 1e6:.3g}M {max(sizes, key=lambda name: sizes[name])}"
    words = {"RPC" if backend.remote else "CPU" for backend in placement.backends.values()}
    return Loaded(kind, model.nbytes, n_params, tuple(sorted(words, reverse=True)), nodes)


async def _measure(job: Job, setup: Setup, trial: Trial, engine: Engine, loaded: Loaded) -> Outcome:
    """One test. The warm-up reads the prompt once and makes one token, as llama-bench does."""
    n_vocab = engine.embedding.ne[1]
    tokens = np.random.default_rng(SEED)

    async def read(count: int) -> None:
        if count:
            await engine.evaluate(tokens.integers(n_vocab, size=count).tolist())

    if job.warmup:
        engine.restart()
        await read(trial.n_prompt)
        await read(min(trial.n_gen, 1))
    begun = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    samples = []
    for _ in range(job.repetitions):
        engine.restart()
        await read(trial.depth)
        begin = perf_counter_ns()
        await read(trial.n_prompt)
        for _ in range(trial.n_gen):
            await read(1)
        samples.append(perf_counter_ns() - begin)
    return Outcome(setup, trial, loaded, begun, tuple(samples))
