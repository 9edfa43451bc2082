"""Model families over a refimpl server, run by stock main hosts: `python -m conformance.upstream.families [ARCH ...]`.

- Small models of random weights, one family after the other, each in a process of its own: stock's test-llama-archs
  compares the logits of a model on the node with those of stock's CPU device (NMSE at most 1e-4).
- The text that stock's llama-completion makes of Gemma 3 270M greedily with all layers on the node, and by itself. By
  itself it is asked not to repack weights: that changes the last bits of its K-quant products, and so its own text.

Exit code 0: all agreed; 1: one did not, or was refused; 2: it could not be judged.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import attrs
import trio

from conformance.interop.processes import ProcessFailed, our_program, run_text, running_server
from conformance.interop.stock import PROTO, stock_programs
from conformance.upstream.gemma import gemma3
from conformance.upstream.node_log import reason_since
from conformance.upstream.programs import NO_NODE, node_environment, node_library, upstream_program

__all__ = ["FAMILIES", "GEMMA", "Agreement", "main", "rows"]

FAMILIES = (
    *("llama", "mistral3", "qwen2", "qwen2moe", "qwen3", "qwen3moe", "gemma", "gemma2", "gemma3"),
    *("phi2", "phi3", "phimoe", "gpt-oss"),
)
"""names as test-llama-archs has them; its Llama is run with experts too, as Mixtral is"""
GEMMA = "Gemma 3 270M"
PROMPTS = ("Hello, my name is", "Once upon a time, in a small village by the sea,")
TOKENS, CONTEXT, ALL_LAYERS = 48, 512, 99
SEED = 11434
DEVICE = "RPC0"
ATTEMPTS = 8
SECONDS = 300.0
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
ROW = re.compile(r"^\| *(?P<arch>[\w-]+)\|[^|]*\| *(?P<config>Dense|MoE)\|(?P<said>(?:[^|\n]*\|){3})", re.MULTILINE)


@attrs.frozen
class Agreement:
    """What became of a model: whether it agrees with stock, and what was said."""

    model: str
    good: bool
    said: str


def rows(text: str) -> list[Agreement]:
    """The complete rows of test-llama-archs' table: logits, the file written and read again, mixed batches."""
    found = ROW.finditer(COLOUR.sub("", text))
    return [_row(hit["arch"], hit["config"], [cell.strip() for cell in hit["said"].split("|")[:3]]) for hit in found]


def _row(arch: str, config: str, cells: Sequence[str]) -> Agreement:
    logits, file, mixed = cells
    good = logits.startswith("OK") and not any(cell.startswith("FAIL") for cell in (file, mixed))
    return Agreement(f"{arch} {config}", good, f"logits {logits}, file {file}, mixed batch {mixed}")


async def _family(arch: str, endpoint: str, library: Path, node_log: Path, logs: Path) -> list[Agreement]:
    """The program may end with 0 before it has written its last lines, so it is asked again."""
    program = await upstream_program("test-llama-archs")
    command = [str(program), "-a", f"^{arch}$", "-b", DEVICE, "-s", str(SEED)]
    env, printed = node_environment(library, endpoint), logs / f"{arch}.out"
    for _ in range(ATTEMPTS):
        said = node_log.stat().st_size
        with printed.open("wb") as output, trio.move_on_after(SECONDS):
            done = await trio.run_process(
                command, stdout=output, stderr=output, stdin=subprocess.DEVNULL, env=env, check=False
            )
            text = printed.read_text("utf-8", "replace")
            if done.returncode == NO_NODE:
                raise ProcessFailed(f"{endpoint} does not answer any more; see {node_log}")
            if done.returncode not in (0, 1):
                return [*rows(text), Agreement(arch, False, f"refused: {await reason_since(node_log, said)}")]
            if "Summary" in text and rows(text):
                return rows(text)
    return [Agreement(arch, False, f"no table; see {printed}")]


async def _gemma(endpoint: str, logs: Path) -> list[Agreement]:
    host, model = await stock_programs() / "llama-completion", await gemma3()
    agreements = []
    for prompt in PROMPTS:
        command = [str(host), "-m", str(model), "-no-cnv", "--temp", "0", "-n", str(TOKENS), "-c", str(CONTEXT)]
        command += ["-t", "2", "-p", prompt]
        alone = await run_text([*command, "--no-repack"], logs / "gemma-alone.log")
        log = logs / "gemma-over-ours.log"
        over_ours = await run_text([*command, "--rpc", endpoint, "-ngl", str(ALL_LAYERS)], log)
        said = f"same text after {prompt!r}" if alone == over_ours else f"{over_ours!r} instead of {alone!r}"
        agreements.append(Agreement(GEMMA, alone == over_ours, said))
    return agreements


async def _judge(families: Sequence[str], with_gemma: bool, logs: Path) -> list[Agreement]:
    node_log, library = logs / "refimpl-server.log", await node_library(logs)
    agreements: list[Agreement] = []
    async with running_server([our_program("refimpl-server"), "--proto", PROTO, "-t", "2"], node_log) as node:
        for arch in families:
            agreements += await _family(arch, node.endpoint, library, node_log, logs)
            print(f"{arch}: done", file=sys.stderr, flush=True)
        if with_gemma:
            agreements += await _gemma(node.endpoint, logs)
    return agreements


def main(argv: Sequence[str] | None = None) -> int:
    """Run the families that `argv` names and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m conformance.upstream.families", description=__doc__)
    parser.add_argument(
        "archs", nargs="*", metavar="ARCH", help="as test-llama-archs has them (default: those that we serve)"
    )
    parser.add_argument("--logs", type=Path, help="folder for what the programs write (default: a temporary one)")
    args = parser.parse_args(argv)
    logs = args.logs or Path(tempfile.mkdtemp(prefix="families-"))
    logs.mkdir(parents=True, exist_ok=True)
    try:
        agreements = trio.run(_judge, args.archs or FAMILIES, not args.archs, logs)
    except ProcessFailed as failure:
        print(failure, file=sys.stderr)
        return 2
    for each in agreements:
        print(f"{each.model:20}{'agrees' if each.good else 'DIFFERS':10}{each.said}")
    print(f"logs in {logs}", file=sys.stderr)
    return 0 if all(each.good for each in agreements) else 1


if __name__ == "__main__":
    sys.exit(main())
