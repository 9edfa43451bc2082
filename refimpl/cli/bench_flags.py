"""The command line of refimpl-bench: a command, then its flags; those that llama-bench has are spelled as there."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn, TypeVar

from refimpl.bench.checks.measure import NO_FOLDER
from refimpl.bench.llama.outcome import FORMATS
from refimpl.bench.llama.trials import numbers, pair
from refimpl.bench.random_model.shape import ModelShape
from refimpl.bench.random_model.write import TYPES
from refimpl.errors import UsageError
from refimpl.host.command.values import at_least, cache_type, endpoints, flash, layers, version

__all__ = ["parser"]

T = TypeVar("T")
SHAPE = ModelShape()


class _Parser(argparse.ArgumentParser):
    """argparse that raises UsageError instead of leaving the process."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message.removeprefix('argument ')}; {self.prog} -h lists the flags")


def parser() -> argparse.ArgumentParser:
    """Parser of the whole program; the command is `command`. Its errors are UsageErrors."""
    root = _Parser(prog="refimpl-bench", description="How fast, alone and beside stock llama.cpp.", allow_abbrev=False)
    commands = root.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _run(commands.add_parser("run", help="our engine, as llama-bench measures stock's", allow_abbrev=False))
    _compare(commands.add_parser("compare", help="stock and ours, local and over servers", allow_abbrev=False))
    _side(commands.add_parser("side-by-side", help="stock's server and ours, under a stock main host"))
    _checks(commands.add_parser("checks", help="what the server's checks cost, token by token"))
    _wire(commands.add_parser("wire", help="the path around the kernels, of stock's server and ours"))
    _make(commands.add_parser("make-model", help="write a Llama with random weights", allow_abbrev=False))
    return root


def _run(flags: argparse.ArgumentParser) -> None:
    flags.epilog = "Flags take several values: 1,2,4 or repeated, and ranges: 2-8, 2-8+2 (steps), 2-32*2 (factors)."

    def several(*names: str, convert: Callable[[str], tuple[T, ...]], default: str, value: str, what: str) -> None:
        dest = names[-1].lstrip("-").replace("-", "_")
        shown = f"{what} (default: {default or 'none'})"
        flags.add_argument(
            *names, dest=dest, metavar=value, help=shown, default=[], action="extend", type=_checked(convert)
        )

    several("-m", "--model", convert=lambda text: tuple(text.split(",")), default="", value="FILE", what="GGUF files")
    several("-p", "--n-prompt", convert=numbers, default="512", value="N", what="tokens read in one go, 0 for none")
    several("-n", "--n-gen", convert=numbers, default="128", value="N", what="tokens made one by one, 0 for none")
    flags.add_argument("-pg", type=_checked(pair), action="append", default=[], metavar="PP,TG", help="both in a row")
    several("-d", "--n-depth", convert=numbers, default="0", value="N", what="tokens that are there already")
    several("-b", "--batch-size", convert=numbers, default="2048", value="N", what="logical batch")
    several("-ub", "--ubatch-size", convert=numbers, default="512", value="N", what="tokens of one graph")
    several("-t", "--threads", convert=numbers, default="one per core", value="N", what="local CPU threads")
    several(
        "-ngl", "--n-gpu-layers", convert=_each(layers), default="-1", value="N", what="layers on the nodes, -1: auto"
    )
    several("-fa", "--flash-attn", convert=_each(flash), default="auto", value="on|off|auto", what="flash attention")
    several("-ctk", "--cache-type-k", convert=_each(cache_type), default="f16", value="TYPE", what="type of K")
    several("-ctv", "--cache-type-v", convert=_each(cache_type), default="f16", value="TYPE", what="type of V")
    count = at_least(1, "a test runs once at least")
    flags.add_argument("-r", "--repetitions", type=count, default=5, metavar="N", help="of each test (default: 5)")
    flags.add_argument("--no-warmup", action="store_true", help="start counting at once")
    flags.add_argument("--rpc", "-rpc", type=endpoints, default=(), metavar="A:P,B:P", help="nodes")
    flags.add_argument("--proto", type=version, help="protocol version (default: each node's newest)")
    flags.add_argument("-o", "--output", choices=tuple(FORMATS), default="md", help="on stdout (default: md)")
    flags.add_argument("-oe", "--output-err", choices=tuple(FORMATS), help="on stderr (default: none)")


def _each(convert: Callable[[str], T]) -> Callable[[str], tuple[T, ...]]:
    return lambda text: tuple(map(convert, text.split(",")))


def _checked(convert: Callable[[str], T]) -> Callable[[str], T]:
    """With the text of a ValueError as the message."""

    def checked(text: str) -> T:
        try:
            return convert(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return checked


def _wire(flags: argparse.ArgumentParser) -> None:
    flags.add_argument("--stock", type=Path, required=True, help="folder of stock's programs")
    flags.add_argument("-t", "--threads", type=int, default=2, help="threads of each program (default: 2)")
    flags.add_argument("--logs", type=Path, help="folder for what the programs write (default: a temporary one)")
    flags.add_argument("-r", "--rounds", type=int, default=5, help="measurements of each (default: 5)")


def _beside_stock(flags: argparse.ArgumentParser) -> None:
    flags.add_argument("-m", "--model", type=Path, required=True, help="GGUF file")
    _wire(flags)


def _side(flags: argparse.ArgumentParser) -> None:
    _beside_stock(flags)


def _checks(flags: argparse.ArgumentParser) -> None:
    flags.add_argument("-m", "--model", type=Path, required=True, help="GGUF file")
    flags.add_argument("-n", "--n-gen", type=int, default=128, metavar="N", help="generated tokens (default: 128)")
    flags.add_argument("-t", "--threads", type=int, default=2, help="threads of each program (default: 2)")
    flags.add_argument("--proto", type=version, default="7.0.0", help="protocol version (default: 7.0.0)")
    flags.add_argument(
        "--stock", type=Path, default=NO_FOLDER, help="folder of stock's programs, for its main host too"
    )
    flags.add_argument("--logs", type=Path, help="folder for what the programs write (default: a temporary one)")
    flags.set_defaults(rounds=1)


def _compare(flags: argparse.ArgumentParser) -> None:
    _beside_stock(flags)
    flags.add_argument("-p", "--n-prompt", type=int, default=512, metavar="N", help="prompt tokens (default: 512)")
    flags.add_argument("-n", "--n-gen", type=int, default=128, metavar="N", help="generated tokens (default: 128)")


def _make(flags: argparse.ArgumentParser) -> None:
    positive = at_least(1, "a model has some")
    flags.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="GGUF file to write")
    for name, what in (
        ("layers", "layers"),
        ("embd", "elements of the hidden state"),
        ("heads", "attention heads"),
        ("kv-heads", "heads of K and V"),
        ("ff", "elements of the feed-forward part"),
        ("vocab", "tokens of the vocabulary"),
        ("ctx", "tokens of context"),
    ):
        default = getattr(SHAPE, name.replace("-", "_"))
        flags.add_argument(
            f"--{name}", type=positive, default=default, metavar="N", help=f"{what} (default: {default})"
        )
    flags.add_argument("--head-size", type=positive, default=0, metavar="N", help="(default: embd / heads)")
    flags.add_argument("--untied", action="store_true", help="an output matrix beside the token embedding")
    flags.add_argument("--type", choices=TYPES, default="F16", metavar="TYPE", help=f"of {', '.join(TYPES)}")
    flags.add_argument("--seed", type=at_least(0, "seeds are"), default=0, metavar="N", help="(default: 0)")
