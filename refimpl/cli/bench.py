"""refimpl-bench: how fast our engine is, alone (`run`) and beside stock llama.cpp (`compare`, `side-by-side`, `wire`).

`checks` says what a server's checks cost, `make-model` writes models to measure with. `run` answers on stdout in the
format of -o; the others write a JSON line for each measurement to stdout and their table to stderr. Exit codes: 0 done,
1 something cannot be used or a program failed, 130 interrupted.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

import attrs
import trio
from gguf.constants import GGMLQuantizationType

from conformance.interop.processes import ProcessFailed
from refimpl.bench.checks.measure import checks
from refimpl.bench.checks.table import Cost, drawn
from refimpl.bench.compare import compare
from refimpl.bench.figures import Measured, table
from refimpl.bench.llama.driver import Job, run_job
from refimpl.bench.llama.outcome import FORMATS, Outcome
from refimpl.bench.llama.trials import setups, trials
from refimpl.bench.programs import Plan
from refimpl.bench.random_model.shape import ModelShape
from refimpl.bench.random_model.write import write_random_model
from refimpl.bench.side_by_side import side_by_side
from refimpl.bench.ways import Sample, compared
from refimpl.bench.wire import FIGURES as WIRE_FIGURES
from refimpl.bench.wire import measure_wire
from refimpl.cli.bench_flags import parser
from refimpl.cli.main_host import open_cpu
from refimpl.errors import RefimplError, UsageError
from refimpl.host.command.options import FlashAttention, Layers
from refimpl.host.run import EXIT_FAILED, EXIT_INTERRUPTED, OpenDevice, default_threads
from spec.names import Type

__all__ = ["job_of", "main"]

MIB = 1 << 20
T = TypeVar("T", Sample, Measured, Cost)


def main(argv: list[str] | None = None, local: OpenDevice = open_cpu) -> int:
    """Run the command that `argv` names; `local` opens the local device of `run`."""
    commands: Mapping[str, Callable[[argparse.Namespace], None]] = {
        "run": partial(_run, local),
        "compare": _compare,
        "side-by-side": _side_by_side,
        "checks": _checks,
        "wire": _wire,
        "make-model": _make_model,
    }
    try:
        args = parser().parse_args(argv)
        commands[args.command](args)
    except (ProcessFailed, RefimplError, OSError) as failure:
        print(f"refimpl-bench: {failure}", file=sys.stderr)
        return EXIT_FAILED
    except KeyboardInterrupt:
        print("refimpl-bench: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    return 0


def job_of(args: argparse.Namespace) -> Job:
    """What `run` was asked for. Raises UsageError."""
    if not args.model:
        raise UsageError("-m FILE is required: the GGUF model to run")
    for name, flag in (("batch_size", "-b"), ("ubatch_size", "-ub"), ("threads", "-t")):
        if 0 in getattr(args, name):
            raise UsageError(f"{flag} 0 must be above 0")
    return Job(
        setups=setups(
            model=args.model,
            gpu_layers=args.n_gpu_layers or [Layers.AUTO],
            batch=args.batch_size or [2048],
            ubatch=args.ubatch_size or [512],
            type_k=args.cache_type_k or [Type.F16],
            type_v=args.cache_type_v or [Type.F16],
            threads=args.threads or [default_threads()],
            flash=args.flash_attn or [FlashAttention.AUTO],
        ),
        trials=trials(args.n_prompt or [512], args.n_gen or [128], args.pg, args.n_depth or [0]),
        repetitions=args.repetitions,
        warmup=not args.no_warmup,
        rpc=args.rpc,
        proto=args.proto,
    )


def _run(local: OpenDevice, args: argparse.Namespace) -> None:
    """JSON lines come one by one, the other formats at the end, also where something fails on the way."""
    job = job_of(args)
    outcomes: list[Outcome] = []
    sinks = [(args.output, sys.stdout), (args.output_err, sys.stderr)]

    def report(outcome: Outcome) -> None:
        outcomes.append(outcome)
        for form, sink in sinks:
            if form == "jsonl":
                print(FORMATS[form]([outcome]), file=sink, flush=True)

    try:
        trio.run(run_job, job, local, report)
    finally:
        for form, sink in sinks:
            if outcomes and form not in (None, "jsonl"):
                print(FORMATS[form](outcomes), file=sink, flush=True)


def _plan(args: argparse.Namespace) -> Plan:
    logs = args.logs or Path(tempfile.mkdtemp(prefix="refimpl-bench-"))
    logs.mkdir(parents=True, exist_ok=True)
    return Plan(stock=args.stock, model=args.model, logs=logs, rounds=args.rounds, threads=args.threads)


def _compare(args: argparse.Namespace) -> None:
    plan = attrs.evolve(_plan(args), prompt=args.n_prompt, generate=args.n_gen)
    samples: list[Sample] = []
    with _table_at_the_end(lambda: compared(samples)):
        trio.run(compare, plan, partial(_note, samples))


def _side_by_side(args: argparse.Namespace) -> None:
    results: list[Measured] = []
    with _table_at_the_end(lambda: table(results)):
        trio.run(side_by_side, _plan(args), partial(_note, results))


def _checks(args: argparse.Namespace) -> None:
    plan = attrs.evolve(_plan(args), generate=args.n_gen, dialect=args.proto)
    costs: list[Cost] = []
    with _table_at_the_end(lambda: "\n\n".join(map(drawn, costs))):
        trio.run(checks, plan, open_cpu, partial(_note, costs))


def _wire(args: argparse.Namespace) -> None:
    logs = args.logs or Path(tempfile.mkdtemp(prefix="refimpl-bench-"))
    plan = Plan(stock=args.stock, logs=logs, rounds=args.rounds, threads=args.threads)
    results: list[Measured] = []
    with _table_at_the_end(lambda: table(results, WIRE_FIGURES)):
        trio.run(measure_wire, plan, partial(_note, results))


def _note(kept: list[T], one: T) -> None:
    kept.append(one)
    print(json.dumps(one.as_json()), flush=True)


@contextmanager
def _table_at_the_end(draw: Callable[[], str]) -> Iterator[None]:
    """Also of what there is when something fails on the way."""
    try:
        yield
    finally:
        print(draw(), file=sys.stderr)


def _make_model(args: argparse.Namespace) -> None:
    shape = ModelShape(
        layers=args.layers,
        embd=args.embd,
        heads=args.heads,
        kv_heads=args.kv_heads,
        head_size=args.head_size,
        ff=args.ff,
        vocab=args.vocab,
        ctx=args.ctx,
        tied=not args.untied,
    )
    written = write_random_model(shape, GGMLQuantizationType[args.type], args.seed, args.output)
    size = f"{written.n_params / 1e6:.2f} M parameters, {written.nbytes / MIB:.2f} MiB"
    print(f"{written.path}: {written.type.name}, {size}, seed {args.seed}")
    if written.next_step:
        print(f"gguf cannot make {args.type}; now run\n    {written.next_step}", file=sys.stderr)
