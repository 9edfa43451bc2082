"""Compares perplexities: stock's llama-perplexity with all layers on a refimpl server, and on its own.

`python -m conformance.upstream.perplexity [TYPE ...]`. The text is this project's own specification, 2,048 tokens of
it for each model's tokenizer. Exit code 0: every ratio is within 0.1 %; 1: one is not, or a program failed; 2: some
model was not run, since the node refused it.

The reference is stock alone with the weights as they are in the file (`--no-repack`), which is how stock's own RPC
server has them too. Left to itself stock rearranges Q4_0 and K-quants on some processors and adds up in another order:
that column shows how far it lies from itself, and is not judged.
"""

import argparse
import re
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import attrs
import trio

from conformance.interop.model import smollm2
from conformance.interop.processes import ProcessFailed, Server, our_program, run_text, running_server
from conformance.interop.stock import PROTO, stock_programs
from conformance.upstream.models import MODELS, RANDOM, SMOLLM2, Model, quantise, write_random_llama

__all__ = ["Comparison", "draw", "estimate", "main"]

TEXT = sorted((Path(__file__).parents[2] / "spec" / "text").glob("*.md"))
CONTEXT, CHUNKS = 512, 4
ALL_LAYERS = 99
NEAR = 1e-3
SECONDS = 1800.0
ATTEMPTS = 8
ESTIMATE = re.compile(r"Final estimate: PPL = (\d+\.\d+)")
REFUSED = re.compile(r"refused: (.*)")


@attrs.frozen
class Comparison:
    """A model's perplexities, or why it was not run."""

    model: Model
    stock: float = 0.0
    ours: float = 0.0
    repacked: float = 0.0
    """of stock alone as it is without flags"""
    reason: str = ""

    @property
    def apart(self) -> float:
        """By how much of stock's ours differs."""
        return abs(self.ours / self.stock - 1)

    @property
    def verdict(self) -> str:
        """``within 0.1 %``, ``DIFFERENT`` or ``not run``."""
        if self.reason:
            return "not run"
        return "within 0.1 %" if self.apart <= NEAR else "DIFFERENT"


def estimate(text: str) -> float | None:
    """The perplexity in what llama-perplexity says, if it is there."""
    found = ESTIMATE.search(text)
    return float(found[1]) if found else None


async def _compare(models: Sequence[Model], threads: int, logs: Path) -> list[Comparison]:
    programs = await stock_programs()
    text, random_llama = logs / "text.txt", logs / "random-llama-F16.gguf"
    text.write_text("\n".join(part.read_text("utf-8") for part in TEXT), "utf-8")
    write_random_llama(random_llama)
    sources = {SMOLLM2: await smollm2(), RANDOM: random_llama}
    node_log = logs / "refimpl-server.log"
    command = [our_program("refimpl-server"), "--proto", PROTO, "-t", str(threads)]
    comparisons = []
    async with running_server(command, node_log) as node:
        for model in models:
            file = await quantise(programs, model, sources[model.source], logs, logs / "llama-quantize.log")
            base = [str(programs / "llama-perplexity"), "-m", str(file), "-f", str(text), "-t", str(threads)]
            base += ["-c", str(CONTEXT), "-b", str(CONTEXT), "--chunks", str(CHUNKS)]
            comparisons.append(await _one(model, base, node, node_log, logs))
            if file != sources[model.source]:
                file.unlink()
            print(_line(comparisons[-1]), file=sys.stderr, flush=True)
    return comparisons


async def _one(model: Model, base: Sequence[str], node: Server, node_log: Path, logs: Path) -> Comparison:
    """Both runs; raises ProcessFailed where it is not a refusal that ends ours."""
    stock = await _perplexity([*base, "--no-repack"], logs / f"stock-{model}.log")
    repacked = await _perplexity(base, logs / f"stock-repacked-{model}.log")
    said = node_log.stat().st_size
    try:
        placed = [*base, "--rpc", node.endpoint, "-ngl", str(ALL_LAYERS)]
        return Comparison(model, stock, await _perplexity(placed, logs / f"refimpl-{model}.log"), repacked)
    except ProcessFailed:
        with node_log.open("rb") as log:
            log.seek(said)
            refusal = REFUSED.search(log.read().decode("utf-8", "replace"))
        if refusal is None:
            raise
        return Comparison(model, reason=refusal[1])


async def _perplexity(command: Sequence[str], log: Path) -> float:
    """Its estimate. The program may end with 0 before it has written its last line, so it is asked again."""
    for _ in range(ATTEMPTS):
        log.unlink(missing_ok=True)
        said = await run_text(command, log, SECONDS)
        if (found := estimate(said + log.read_text("utf-8", "replace"))) is not None:
            return found
    raise ProcessFailed(f"llama-perplexity ended {ATTEMPTS} times without a final estimate; see {log}")


def _line(each: Comparison) -> str:
    if each.reason:
        return f"{each.model!s:24}{'':>12}{'':>12}{'':>12}{'':>12}  not run: {each.reason}"
    figures = f"{each.repacked:12.4f}{each.stock:12.4f}{each.ours:12.4f}{100 * each.apart:10.4f} %"
    return f"{each.model!s:24}{figures}  {each.verdict}"


def draw(comparisons: Sequence[Comparison]) -> str:
    """The table: a row per model."""
    head = f"{'perplexity':24}{'stock':>12}{'not repacked':>13}{'over ours':>11}{'apart':>12}"
    return "\n".join([head, *map(_line, comparisons)])


def main(argv: Sequence[str] | None = None) -> int:
    """Compare the models of the types that `argv` names and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m conformance.upstream.perplexity", description=__doc__)
    known = [model.type for model in MODELS]
    parser.add_argument("types", nargs="*", metavar="TYPE", help=f"of {', '.join(known)} (default: all)")
    parser.add_argument("-t", "--threads", type=int, default=2, help="of each program (default: %(default)s)")
    parser.add_argument("--logs", type=Path, help="folder for files and logs (default: a temporary one)")
    args = parser.parse_args(argv)
    if strange := set(args.types) - set(known):
        parser.error(f"no model of type {', '.join(sorted(strange))}; there are {', '.join(known)}")
    models = [model for model in MODELS if not args.types or model.type in args.types]
    logs = args.logs or Path(tempfile.mkdtemp(prefix="perplexity-"))
    logs.mkdir(parents=True, exist_ok=True)
    try:
        comparisons = trio.run(_compare, models, args.threads, logs)
    except ProcessFailed as failure:
        print(f"FAILED: {failure}", file=sys.stderr)
        return 1
    print(draw(comparisons), flush=True)
    print(f"logs in {logs}", file=sys.stderr)
    verdicts = {each.verdict for each in comparisons}
    return 1 if "DIFFERENT" in verdicts else 2 if "not run" in verdicts else 0


if __name__ == "__main__":
    sys.exit(main())
