"""Compare refimpl's tokenizer with stock llama.cpp's, token by token, for every pre-tokenizer name that refimpl knows.

    python -m conformance.interop.tokenizer_check [--record FILE]

Both programs get the same file: a vocabulary under another pre-tokenizer name, first the real model's, then one that
gives wrong cuts away (vocab_model.py). REFIMPL_STOCK_BIN and REFIMPL_SMOLLM2 name a folder of stock programs and a
model to use instead of those in the cache.

Exit status 0: every string gave the same ids; 1: some did not, and are printed with both answers; 2: it could not be
judged. --record writes stock's ids for the second vocabulary and some of the strings: the vectors of refimpl's own
tests.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import attrs
import trio

from conformance.interop.hard_strings import hard_strings
from conformance.interop.model import smollm2
from conformance.interop.processes import ProcessFailed, running_web_server
from conformance.interop.stock import REQUIREMENT, stock_programs
from conformance.interop.vocab_model import Vocabulary, pair_vocabulary, read_vocabulary, write_vocab_model

__all__ = ["PRE_TOKENIZERS", "Difference", "check", "main"]

PRE_TOKENIZERS = ("default", "gpt-2", "smollm", "llama-bpe", "qwen2")
SHOWN = 10
RECORDED = 450
RECORDED_LENGTH = 40
"""characters; longer strings say little more in a vector and take much room"""


@attrs.frozen
class Difference:
    """A string that the two cut differently."""

    text: str
    stock: list[int]
    refimpl: list[int]


def main(argv: list[str] | None = None) -> int:
    """See the module."""
    parser = argparse.ArgumentParser(prog="python -m conformance.interop.tokenizer_check")
    parser.add_argument("--record", type=Path, metavar="FILE", help="write vectors instead of comparing")
    args = parser.parse_args(argv)
    try:
        with tempfile.TemporaryDirectory() as folder:
            if args.record:
                trio.run(_record, args.record, Path(folder))
                return 0
            return 0 if trio.run(check, Path(folder)) else 1
    except (ProcessFailed, subprocess.CalledProcessError) as failure:
        print(failure, file=sys.stderr)
        return 2


async def check(folder: Path) -> bool:
    """Compare everything, print a line for each part, and say whether all agreed; `folder` is for models and logs."""
    programs = await _programs()
    model = os.environ.get("REFIMPL_SMOLLM2") or str(await smollm2())
    vocabularies = {"SmolLM2": read_vocabulary(model), "pairs": pair_vocabulary()}
    strings = hard_strings()
    alike = True
    for name, vocabulary in vocabularies.items():
        for pre in PRE_TOKENIZERS:
            path = _write(vocabulary, pre, folder)
            theirs = await _stock_ids(programs, path, strings)
            differences = list(_differences(strings, theirs, await _refimpl_ids(path, strings)))
            print(f"{name}, {pre}: {len(strings) - len(differences)} of {len(strings)} strings alike", flush=True)
            for found in differences[:SHOWN]:
                print(f"  {found.text!r}\n    stock   {found.stock}\n    refimpl {found.refimpl}")
            alike = alike and not differences
    return alike


async def _record(target: Path, folder: Path) -> None:
    programs, vocabulary = await _programs(), pair_vocabulary()
    strings = list(islice((text for text in hard_strings() if len(text) <= RECORDED_LENGTH), RECORDED))
    ids = {pre: await _stock_ids(programs, _write(vocabulary, pre, folder), strings) for pre in PRE_TOKENIZERS}
    source = f"llama-server of {REQUIREMENT}, /tokenize, add_special false, parse_special true"
    lines = [json.dumps({"source": source, "vocabulary": "pairs", "pre": list(PRE_TOKENIZERS)})]
    lines += [json.dumps([text, *(ids[pre][i] for pre in PRE_TOKENIZERS)]) for i, text in enumerate(strings)]
    target.write_text("\n".join(lines) + "\n")


async def _programs() -> Path:
    chosen = os.environ.get("REFIMPL_STOCK_BIN")
    return Path(chosen) if chosen else await stock_programs()


def _write(vocabulary: Vocabulary, pre: str, folder: Path) -> Path:
    path = folder / "vocabulary.gguf"
    write_vocab_model(vocabulary, pre, path)
    return path


def _differences(
    strings: Sequence[str], stock: Sequence[list[int]], refimpl: Sequence[list[int]]
) -> Iterator[Difference]:
    for text, theirs, ours in zip(strings, stock, refimpl, strict=True):
        if theirs != ours:
            yield Difference(text, theirs, ours)


async def _refimpl_ids(model: Path, strings: Sequence[str]) -> list[list[int]]:
    command = [sys.executable, "-m", "refimpl.model.tokenize_lines", str(model)]
    lines = "".join(json.dumps(text) + "\n" for text in strings)
    done = await trio.run_process(command, stdin=lines.encode(), capture_stdout=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


async def _stock_ids(programs: Path, model: Path, strings: Sequence[str]) -> list[list[int]]:
    command = [str(programs / "llama-server"), "-m", str(model), "--no-warmup", "-np", "1", "-c", "64"]
    async with running_web_server(command, model.with_suffix(".log")) as url:
        return await trio.to_thread.run_sync(lambda: [_ask(url, text) for text in strings])


def _ask(url: str, text: str) -> list[int]:
    body = json.dumps({"content": text, "add_special": False, "parse_special": True}).encode()
    request = urllib.request.Request(f"{url}/tokenize", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        tokens: list[int] = json.load(answer)["tokens"]
    return tokens


if __name__ == "__main__":
    sys.exit(main())
