"""The command line of the main host: llama.cpp's flags, spelled as there, to Options.

One table, FLAGS. As in llama.cpp a flag and its value are two words, whatever the value looks like (`-p "-x"`,
`-n -1`), there are no abbreviations, and the last of a repeated flag counts (but -ot, whose values add up). argparse
converts the values and writes the help; it sees each flag as one `--long=value` word, so it cannot take a value for a
flag or `-bogus` for `-b ogus`.
"""

import argparse
import difflib
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import attrs

from refimpl.errors import UsageError
from refimpl.host.command.escapes import unescape
from refimpl.host.command.options import Options
from refimpl.host.command.values import (
    CACHE_TYPES,
    at_least,
    cache_type,
    devices,
    endpoints,
    flash,
    layers,
    load_mode,
    number,
    overrides,
    patience,
    penalty,
    prompt_file,
    proportions,
    version,
    whole,
)
from refimpl.model.gguf.storage import LoadMode
from refimpl.model.sampler import SamplerParams

__all__ = ["FLAGS", "Flag", "parse"]

PROGRAM = "refimpl-cli"


@attrs.frozen
class Flag:
    """One flag: its spellings, the name of its value (empty for a switch), where the value goes and what it means."""

    names: tuple[str, ...]
    value: str
    dest: str
    convert: Callable[[str], Any]
    help: str
    switch: Any = True
    """what a switch sets"""
    repeats: bool = False
    """the values of a repeated flag are joined by commas, instead of the last one counting"""

    @property
    def long(self) -> str:
        """The spelling that argparse sees."""
        return "--" + self.names[-1].lstrip("-")


FLAGS: tuple[Flag, ...] = (
    Flag(("-m", "--model"), "FNAME", "model", str, "model path to load"),
    Flag(
        ("-lm", "--load-mode"),
        "MODE",
        "load_mode",
        load_mode,
        "model loading mode: auto, none, mmap, mlock, mmap+mlock, dio (default: auto, which is mmap)",
    ),
    Flag(("--no-mmap",), "", "load_mode", bool, "the same as -lm none", switch=LoadMode.NONE),
    Flag(("-p", "--prompt"), "PROMPT", "prompt", str, "prompt to start generation with"),
    Flag(("-f", "--file"), "FNAME", "prompt", prompt_file, "a file containing the prompt"),
    Flag(
        ("-n", "--predict", "--n-predict"),
        "N",
        "predict",
        at_least(-2, "-1 is no limit, -2 until full"),
        "number of tokens to predict (default: -1, -1 = infinity, -2 = until context filled)",
    ),
    Flag(
        ("-c", "--ctx-size"),
        "N",
        "ctx_size",
        at_least(0, "0 takes the model's own"),
        "size of the prompt context (default: 0, 0 = loaded from model)",
    ),
    Flag(
        ("-b", "--batch-size"),
        "N",
        "batch",
        at_least(1, "a batch holds tokens"),
        "logical maximum batch size (default: 2048)",
    ),
    Flag(
        ("-ub", "--ubatch-size"),
        "N",
        "ubatch",
        at_least(0, "0 takes the batch size"),
        "physical maximum batch size (default: 512)",
    ),
    Flag(("-t", "--threads"), "N", "threads", whole, "number of local CPU threads to use (default: one per core)"),
    Flag(
        ("-ngl", "--gpu-layers", "--n-gpu-layers"),
        "N",
        "gpu_layers",
        layers,
        "layers to run on the devices: the last N and the output, 'all', or 'auto': as many as fit (default: auto)",
    ),
    Flag(
        ("-ts", "--tensor-split"),
        "N0,N1,...",
        "tensor_split",
        proportions,
        "proportions of those layers for each device, e.g. 3,1 (default: by free memory)",
    ),
    Flag(
        ("-ot", "--override-tensor"),
        "PATTERN=DEVICE,...",
        "overrides",
        overrides,
        "put the weights whose name a regular expression finds on that device (RPC0, CPU); what reads them runs there",
        repeats=True,
    ),
    Flag(("--rpc",), "SERVERS", "rpc", endpoints, "comma-separated list of nodes (host:port)"),
    Flag(
        ("--proto",),
        "VERSION",
        "proto",
        version,
        "protocol version to speak with all nodes (default: each node's, the newest that is known here)",
    ),
    Flag(
        ("--rpc-timeout",),
        "S[,S]",
        "patience",
        patience,
        "seconds that a node may be silent: for a reply, and while it may be computing (default: 10,600)",
    ),
    Flag(
        ("-dev", "--device"),
        "DEV1,DEV2,...",
        "devices",
        devices,
        "devices to use, in this order (none = local CPU only; --list-devices shows them)",
    ),
    Flag(("--temp", "--temperature"), "N", "temp", number, "temperature (default: 0.80, 0 = likeliest token)"),
    Flag(("--top-k",), "N", "top_k", whole, "top-k sampling (default: 40, 0 = disabled)"),
    Flag(("--top-p",), "N", "top_p", number, "top-p sampling (default: 0.95, 1.0 = disabled)"),
    Flag(("--min-p",), "N", "min_p", number, "min-p sampling (default: 0.05, 0.0 = disabled)"),
    Flag(
        ("--repeat-penalty",),
        "N",
        "repeat_penalty",
        penalty,
        "penalize repeat sequence of tokens (default: 1.00, 1.0 = disabled)",
    ),
    Flag(
        ("--repeat-last-n",),
        "N",
        "repeat_last_n",
        at_least(0, "0 disables it"),
        "last n tokens to consider for penalize (default: 64, 0 = disabled)",
    ),
    Flag(("-s", "--seed"), "SEED", "seed", whole, "RNG seed (default: -1, use random seed for -1)"),
    Flag(
        ("-ctk", "--cache-type-k"),
        "TYPE",
        "cache_type_k",
        cache_type,
        f"KV cache data type for K: {', '.join(CACHE_TYPES)} (default: f16)",
    ),
    Flag(
        ("-ctv", "--cache-type-v"),
        "TYPE",
        "cache_type_v",
        cache_type,
        "KV cache data type for V, of the same; a quantised one needs flash attention (default: f16)",
    ),
    Flag(("-fa", "--flash-attn"), "on|off|auto", "flash", flash, "flash attention (default: auto, which is on)"),
    Flag(("--ignore-eos",), "", "ignore_eos", bool, "ignore end of stream tokens and continue generating"),
    Flag(("-e", "--escape"), "", "escape", bool, "read backslash escapes of the prompt, such as \\n (default)"),
    Flag(("--no-escape",), "", "escape", bool, "take the prompt's backslashes as they are", switch=False),
    Flag(("--list-devices",), "", "list_devices", bool, "print list of available devices and exit"),
    Flag(
        ("--dry-run",), "", "dry_run", bool, "print what would go where, and how much memory it needs there, and exit"
    ),
    Flag(("-v", "--log-verbose", "--verbose"), "", "verbose", bool, "say more on stderr: placement, buffers, graphs"),
    Flag(("-no-cnv", "--no-conversation"), "", "no_conversation", bool, "accepted: there is no chat mode"),
)

_BY_NAME = {name: flag for flag in FLAGS for name in flag.names}
_HELP = ("-h", "--help", "--usage")


class _Parser(argparse.ArgumentParser):
    """argparse that raises UsageError instead of leaving the process."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message.removeprefix('argument ')}; {PROGRAM} -h lists the flags")


def parse(argv: Sequence[str]) -> Options:
    """Options of a command line without its program name. Raises UsageError; `-h` prints and raises SystemExit."""
    found = vars(_parser().parse_args(_joined(argv)))
    found.pop("no_conversation", None)
    sampling = {field.name: found.pop(field.name) for field in attrs.fields(SamplerParams) if field.name in found}
    if found.get("escape", True) and "prompt" in found:
        found["prompt"] = unescape(found["prompt"])
    return Options(sampling=SamplerParams(**sampling), **found)


def _joined(argv: Sequence[str]) -> list[str]:
    """Each flag with its value as one `--long=value` word; unknown words are refused here, with the nearest flag."""
    words: list[str] = []
    repeated: dict[Flag, list[str]] = {}
    rest = iter(argv)
    for word in rest:
        if word in _HELP:
            words.append(word)
            continue
        flag = _BY_NAME.get(word)
        if flag is None:
            raise UsageError(_unknown(word))
        if not flag.value:
            words.append(flag.long)
            continue
        value = next(rest, None)
        if value is None:
            raise UsageError(f"{word} needs a value: {word} {flag.value}")
        if flag.repeats:
            repeated.setdefault(flag, []).append(value)
        else:
            words.append(f"{flag.long}={value}")
    return words + [f"{flag.long}={','.join(values)}" for flag, values in repeated.items()]


def _unknown(word: str) -> str:
    near = difflib.get_close_matches(word, _BY_NAME, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    return f"{word} is not a flag of {PROGRAM}; {hint}{PROGRAM} -h lists the flags"


def _parser() -> _Parser:
    parser = _Parser(
        prog=PROGRAM,
        usage=f"{PROGRAM} -m FNAME -p PROMPT [flags]",
        description="Continues a text with a GGUF model whose layers may be split over nodes.",
        add_help=False,
        allow_abbrev=False,
        argument_default=argparse.SUPPRESS,
        formatter_class=_Help,
    )
    for flag in FLAGS:
        names = dict.fromkeys((*flag.names, flag.long))
        if flag.value:
            parser.add_argument(*names, dest=flag.dest, type=flag.convert, metavar=flag.value, help=flag.help)
        else:
            parser.add_argument(*names, dest=flag.dest, action="store_const", const=flag.switch, help=flag.help)
    parser.add_argument(*_HELP, action="help", help="print usage and exit")
    return parser


class _Help(argparse.HelpFormatter):
    """Help text in two columns, wide enough for the longest flag."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=44, width=120)
