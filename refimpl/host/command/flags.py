"""The command line of the main host: llama.cpp's flags, spelled as there, to Options.

One table, FLAGS. As in llama.cpp a flag and its value are two words, whatever the value looks like (`-p "-x"`,
`-n -1`), there are no abbreviations, and the last of a repeated flag counts. argparse converts the values and writes
the help; it sees each flag as one `--long=value` word, so it cannot take a value for a flag or `-bogus` for `-b ogus`.
"""

import argparse
import difflib
import math
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import attrs

from refimpl.errors import UsageError
from refimpl.host.command.escapes import unescape
from refimpl.host.command.options import ALL_LAYERS, FlashAttention, Options
from refimpl.model.sampler import SamplerParams
from refimpl.service.client import parse_endpoint

__all__ = ["FLAGS", "Flag", "parse"]

PROGRAM = "refimpl-cli"
NO_DEVICES = "none"
EVERY_LAYER = ("auto", "all")


@attrs.frozen
class Flag:
    """One flag: its spellings, the name of its value (empty for a switch), where the value goes and what it means."""

    names: tuple[str, ...]
    value: str
    dest: str
    convert: Callable[[str], Any]
    help: str
    switch: bool = True
    """what a switch sets"""

    @property
    def long(self) -> str:
        """The spelling that argparse sees."""
        return "--" + self.names[-1].lstrip("-")


def _at_least(least: int, what: str) -> Callable[[str], int]:
    def convert(text: str) -> int:
        number = _whole(text)
        if number < least:
            raise argparse.ArgumentTypeError(f"{number} is below {least} ({what})")
        return number

    return convert


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number") from None


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if math.isnan(number):
        raise argparse.ArgumentTypeError(f"'{text}' is not a number")
    return number


def _penalty(text: str) -> float:
    number = _number(text)
    if not 0 < number < math.inf or math.isinf(1 / number):
        raise argparse.ArgumentTypeError(f"'{text}' is not a finite number above 0")
    return number


def _layers(text: str) -> int | None:
    if text in EVERY_LAYER:
        return ALL_LAYERS
    try:
        number = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is neither a number of layers nor 'auto' or 'all'") from None
    return number if number >= 0 else ALL_LAYERS


def _split(text: str) -> tuple[float, ...]:
    parts = tuple(map(_number, text.replace("/", ",").split(",")))
    if any(not 0 <= part < math.inf for part in parts):
        raise argparse.ArgumentTypeError(f"'{text}' holds a negative or endless proportion")
    return parts


def _flash(text: str) -> FlashAttention:
    spellings = {
        FlashAttention.ON: ("on", "1", "enabled", "true"),
        FlashAttention.OFF: ("off", "0", "disabled", "false"),
        FlashAttention.AUTO: ("auto", "-1"),
    }
    for choice, words in spellings.items():
        if text in words:
            return choice
    raise argparse.ArgumentTypeError(f"'{text}' is none of on, off, auto")


def _endpoint(text: str) -> str:
    try:
        parse_endpoint(text)
    except UsageError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def _endpoints(text: str) -> tuple[str, ...]:
    return tuple(_endpoint(part.strip()) for part in text.split(","))


def _devices(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(","))
    if names == (NO_DEVICES,):
        return ()
    if NO_DEVICES in names or len(set(names)) != len(names):
        raise argparse.ArgumentTypeError(f"'{text}' names a device twice, or 'none' among others")
    return names


def _prompt_file(path: str) -> str:
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError as error:
        raise argparse.ArgumentTypeError(f"failed to open file '{path}': {error.strerror}") from None
    return data.decode("utf-8", "surrogateescape").removesuffix("\n")


FLAGS: tuple[Flag, ...] = (
    Flag(("-m", "--model"), "FNAME", "model", str, "model path to load"),
    Flag(("-p", "--prompt"), "PROMPT", "prompt", str, "prompt to start generation with"),
    Flag(("-f", "--file"), "FNAME", "prompt", _prompt_file, "a file containing the prompt"),
    Flag(
        ("-n", "--predict", "--n-predict"),
        "N",
        "predict",
        _at_least(-2, "-1 is no limit, -2 until full"),
        "number of tokens to predict (default: -1, -1 = infinity, -2 = until context filled)",
    ),
    Flag(
        ("-c", "--ctx-size"),
        "N",
        "ctx_size",
        _at_least(0, "0 takes the model's own"),
        "size of the prompt context (default: 0, 0 = loaded from model)",
    ),
    Flag(
        ("-b", "--batch-size"),
        "N",
        "batch",
        _at_least(1, "a batch holds tokens"),
        "logical maximum batch size (default: 2048)",
    ),
    Flag(
        ("-ub", "--ubatch-size"),
        "N",
        "ubatch",
        _at_least(0, "0 takes the batch size"),
        "physical maximum batch size (default: 512)",
    ),
    Flag(("-t", "--threads"), "N", "threads", _whole, "number of local CPU threads to use (default: one per core)"),
    Flag(
        ("-ngl", "--gpu-layers", "--n-gpu-layers"),
        "N",
        "gpu_layers",
        _layers,
        "layers to run on the devices: the last N and the output, 'auto' or 'all' (default: all, if there are devices)",
    ),
    Flag(
        ("-ts", "--tensor-split"),
        "N0,N1,...",
        "tensor_split",
        _split,
        "proportions of those layers for each device, e.g. 3,1 (default: by free memory)",
    ),
    Flag(("--rpc",), "SERVERS", "rpc", _endpoints, "comma-separated list of nodes (host:port)"),
    Flag(
        ("-dev", "--device"),
        "DEV1,DEV2,...",
        "devices",
        _devices,
        "devices to use, in this order (none = local CPU only; --list-devices shows them)",
    ),
    Flag(("--temp", "--temperature"), "N", "temp", _number, "temperature (default: 0.80, 0 = likeliest token)"),
    Flag(("--top-k",), "N", "top_k", _whole, "top-k sampling (default: 40, 0 = disabled)"),
    Flag(("--top-p",), "N", "top_p", _number, "top-p sampling (default: 0.95, 1.0 = disabled)"),
    Flag(("--min-p",), "N", "min_p", _number, "min-p sampling (default: 0.05, 0.0 = disabled)"),
    Flag(
        ("--repeat-penalty",),
        "N",
        "repeat_penalty",
        _penalty,
        "penalize repeat sequence of tokens (default: 1.00, 1.0 = disabled)",
    ),
    Flag(
        ("--repeat-last-n",),
        "N",
        "repeat_last_n",
        _at_least(0, "0 disables it"),
        "last n tokens to consider for penalize (default: 64, 0 = disabled)",
    ),
    Flag(("-s", "--seed"), "SEED", "seed", _whole, "RNG seed (default: -1, use random seed for -1)"),
    Flag(("-fa", "--flash-attn"), "on|off|auto", "flash", _flash, "flash attention (default: auto, which is on)"),
    Flag(("--ignore-eos",), "", "ignore_eos", bool, "ignore end of stream tokens and continue generating"),
    Flag(("-e", "--escape"), "", "escape", bool, "read backslash escapes of the prompt, such as \\n (default)"),
    Flag(("--no-escape",), "", "escape", bool, "take the prompt's backslashes as they are", switch=False),
    Flag(("--list-devices",), "", "list_devices", bool, "print list of available devices and exit"),
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
        words.append(f"{flag.long}={value}")
    return words


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
