"""Compare refimpl's tokenizer with stock llama.cpp's, token by token, for every pre-tokenizer name that refimpl knows.

    REFIMPL_STOCK_BIN=folder-of-llama-server REFIMPL_SMOLLM2=model.gguf python -m conformance.interop.tokenizer_check

Both programs run as processes of their own and get the same file: the model's vocabulary under another pre-tokenizer
name. Exit status 0: every string gave the same ids. 1: some did not; each is printed with both answers. 2: not set
up.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from socket import create_server
from time import monotonic, sleep

from conformance.interop.hard_strings import hard_strings
from conformance.interop.vocab_model import Vocabulary, pair_vocabulary, read_vocabulary, write_vocab_model

__all__ = ["PRE_TOKENIZERS", "compare", "main", "stock_ids"]

PRE_TOKENIZERS = ("default", "gpt-2", "smollm", "llama-bpe", "qwen2")
START_SECONDS = 60.0
SHOWN = 10


def main() -> int:
    """See the module."""
    stock, model = os.environ.get("REFIMPL_STOCK_BIN"), os.environ.get("REFIMPL_SMOLLM2")
    if not stock or not model:
        print("set REFIMPL_STOCK_BIN to the folder of llama-server and REFIMPL_SMOLLM2 to a GGUF file", file=sys.stderr)
        return 2
    vocabularies = {"SmolLM2": read_vocabulary(model), "pairs": pair_vocabulary()}
    failed = [
        (name, pre)
        for name, vocabulary in vocabularies.items()
        for pre in PRE_TOKENIZERS
        if not _agree(Path(stock), name, vocabulary, pre)
    ]
    return 1 if failed else 0


def _agree(stock: Path, name: str, vocabulary: Vocabulary, pre: str) -> bool:
    """Compare on all strings, print the outcome, and say whether there was no difference."""
    strings = hard_strings()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "vocabulary.gguf"
        write_vocab_model(vocabulary, pre, path)
        differences = compare(stock, path, strings)
    print(f"{name}, {pre}: {len(strings) - len(differences)} of {len(strings)} strings alike")
    for text, theirs, ours in differences[:SHOWN]:
        print(f"  {text!r}\n    stock   {theirs}\n    refimpl {ours}")
    return not differences


def compare(stock: Path, model: Path, strings: Sequence[str]) -> list[tuple[str, list[int], list[int]]]:
    """Strings on which the two differ, with stock's ids and refimpl's."""
    theirs = stock_ids(stock, model, strings)
    ours = _refimpl_ids(model, strings)
    return [case for case in zip(strings, theirs, ours, strict=True) if case[1] != case[2]]


def _refimpl_ids(model: Path, strings: Sequence[str]) -> list[list[int]]:
    command = [sys.executable, "-m", "refimpl.model.tokenize_lines", str(model)]
    lines = "".join(json.dumps(text) + "\n" for text in strings)
    result = subprocess.run(command, input=lines, capture_output=True, text=True, check=True)
    return [json.loads(line) for line in result.stdout.splitlines()]


def stock_ids(stock: Path, model: Path, strings: Sequence[str]) -> list[list[int]]:
    """Ids that llama-server gives each string, without begin and end tokens, control tokens recognised."""
    with _llama_server(stock, model) as connection:
        return [_ask(connection, text) for text in strings]


def _ask(connection: HTTPConnection, text: str) -> list[int]:
    body = json.dumps({"content": text, "add_special": False, "parse_special": True})
    connection.request("POST", "/tokenize", body, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    content = answer.read()
    if answer.status != 200:
        raise RuntimeError(f"llama-server answered {answer.status} to {text!r}: {content!r}")
    tokens: list[int] = json.loads(content)["tokens"]
    return tokens


@contextmanager
def _llama_server(stock: Path, model: Path) -> Iterator[HTTPConnection]:
    with create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [
        str(stock / "llama-server"),
        "-m",
        str(model),
        "--port",
        str(port),
        "--no-warmup",
        "-np",
        "1",
        "-c",
        "64",
    ]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    connection = HTTPConnection("127.0.0.1", port, timeout=START_SECONDS)
    try:
        _await_health(process, connection)
        yield connection
    finally:
        connection.close()
        process.terminate()
        process.wait()


def _await_health(process: subprocess.Popen[bytes], connection: HTTPConnection) -> None:
    end = monotonic() + START_SECONDS
    while monotonic() < end and process.poll() is None:
        try:
            connection.request("GET", "/health")
            answer = connection.getresponse()
            answer.read()
            if answer.status == 200:
                return
        except OSError:
            connection.close()
        sleep(0.1)
    raise RuntimeError(f"llama-server is not ready after {START_SECONDS} s, or ended with status {process.poll()}")


if __name__ == "__main__":
    raise SystemExit(main())
