"""The programs that are measured beside each other: both servers, stock's llama-bench, and ours."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import attrs

from conformance.interop.processes import Server as Running
from conformance.interop.processes import our_program, run_text, running_server
from refimpl.bench.figures import DECODE, PREFILL, Server

__all__ = ["Plan", "llama_bench", "our_bench", "serving"]


@attrs.frozen(kw_only=True)
class Plan:
    """What to run, and where to write what the programs say."""

    stock: Path
    """folder of stock's programs"""
    logs: Path
    model: Path = Path()
    dialect: str = "7.0.0"
    """what the stock programs speak"""
    rounds: int = 5
    threads: int = 2
    prompt: int = 512
    generate: int = 64


@asynccontextmanager
async def serving(plan: Plan, server: Server) -> AsyncIterator[Running]:
    """A server on a free loopback port. Raises ProcessFailed."""
    stock = [str(plan.stock / "ggml-rpc-server")]
    command = stock if server is Server.STOCK else [our_program("refimpl-server"), "--proto", plan.dialect]
    async with running_server([*command, "-t", str(plan.threads)], plan.logs / f"{server.value}-server.log") as running:
        yield running


async def llama_bench(plan: Plan, endpoint: str | None = None) -> dict[str, float]:
    """Speeds (tokens/s) by figure under stock's main host: all layers on `endpoint`, or all here. ProcessFailed."""
    return await _speeds(plan, [str(plan.stock / "llama-bench")], endpoint)


async def our_bench(plan: Plan, endpoint: str | None = None) -> dict[str, float]:
    """The same under our engine."""
    return await _speeds(plan, [our_program("refimpl-bench"), "run", "--proto", plan.dialect], endpoint)


async def _speeds(plan: Plan, program: Sequence[str], endpoint: str | None) -> dict[str, float]:
    """Both programs take llama-bench's flags and write its JSON."""
    command = [*program, "-m", str(plan.model), "-p", str(plan.prompt), "-n", str(plan.generate)]
    command += ["-r", "1", "-t", str(plan.threads), "-o", "json"]
    command += ["--rpc", endpoint, "-ngl", "99"] if endpoint else []
    tests = json.loads(await run_text(command, plan.logs / f"{Path(program[0]).name}.log"))
    return {DECODE if test["n_gen"] else PREFILL: float(test["avg_ts"]) for test in tests}
