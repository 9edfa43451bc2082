"""What stands behind a flag: its words to a value, with llama.cpp's spellings.

Each function raises argparse.ArgumentTypeError, whose text follows the name of the flag.
"""

import argparse
import math
from collections.abc import Callable

from refimpl.errors import UsageError
from refimpl.host.command.options import DEFAULT_PATIENCE, FlashAttention, Layers, Override
from refimpl.model.gguf.storage import LoadMode
from refimpl.service.channel import Patience
from refimpl.service.client import parse_endpoint
from spec.load import load
from spec.names import Type

__all__ = [
    "CACHE_TYPES",
    "at_least",
    "cache_type",
    "devices",
    "endpoint",
    "endpoints",
    "flash",
    "layers",
    "load_mode",
    "number",
    "overrides",
    "patience",
    "penalty",
    "prompt_file",
    "proportions",
    "version",
    "whole",
]

NO_DEVICES = "none"
CACHE_TYPES = ("f32", "f16", "bf16", "q8_0", "q4_0", "q4_1", "q5_0", "q5_1")


def at_least(least: int, what: str) -> Callable[[str], int]:
    def convert(text: str) -> int:
        value = whole(text)
        if value < least:
            raise argparse.ArgumentTypeError(f"{value} is below {least} ({what})")
        return value

    return convert


def whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number") from None


def number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if math.isnan(value):
        raise argparse.ArgumentTypeError(f"'{text}' is not a number")
    return value


def penalty(text: str) -> float:
    value = number(text)
    if not 0 < value < math.inf or math.isinf(1 / value):
        raise argparse.ArgumentTypeError(f"'{text}' is not a finite number above 0")
    return value


def layers(text: str) -> int | Layers:
    words: dict[str, Layers] = {choice.value: choice for choice in Layers}
    if text in words:
        return words[text]
    try:
        count = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is neither a number of layers nor 'auto' or 'all'") from None
    if count < 0:
        return Layers.AUTO if count == -1 else Layers.ALL
    return count


def overrides(text: str) -> tuple[Override, ...]:
    try:
        return tuple(Override.parse(part) for part in text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def cache_type(text: str) -> Type:
    if text not in CACHE_TYPES:
        raise argparse.ArgumentTypeError(f"'{text}' is none of {', '.join(CACHE_TYPES)}")
    return Type[text.upper()]


def load_mode(text: str) -> LoadMode:
    words = [mode.value for mode in LoadMode]
    if text not in words:
        raise argparse.ArgumentTypeError(f"'{text}' is none of {', '.join(words)}")
    return LoadMode(text)


def patience(text: str) -> Patience:
    seconds = [number(part) for part in text.split(",")]
    if len(seconds) > 2 or any(not 0 < value < math.inf for value in seconds):
        raise argparse.ArgumentTypeError(f"'{text}' is not one or two numbers of seconds above 0")
    reply = seconds[0]
    return Patience(reply, seconds[1] if len(seconds) == 2 else max(reply, DEFAULT_PATIENCE.computing))


def proportions(text: str) -> tuple[float, ...]:
    parts = tuple(map(number, text.replace("/", ",").split(",")))
    if any(not 0 <= part < math.inf for part in parts):
        raise argparse.ArgumentTypeError(f"'{text}' holds a negative or endless proportion")
    return parts


def flash(text: str) -> FlashAttention:
    spellings = {
        FlashAttention.ON: ("on", "1", "enabled", "true"),
        FlashAttention.OFF: ("off", "0", "disabled", "false"),
        FlashAttention.AUTO: ("auto", "-1"),
    }
    for choice, words in spellings.items():
        if text in words:
            return choice
    raise argparse.ArgumentTypeError(f"'{text}' is none of on, off, auto")


def endpoint(text: str) -> str:
    try:
        parse_endpoint(text)
    except UsageError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def endpoints(text: str) -> tuple[str, ...]:
    return tuple(endpoint(part.strip()) for part in text.split(","))


def version(text: str) -> str:
    known = load().versions
    if text not in known:
        raise argparse.ArgumentTypeError(f"'{text}' is none of {', '.join(reversed(known))}")
    return text


def devices(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(","))
    if names == (NO_DEVICES,):
        return ()
    if NO_DEVICES in names or len(set(names)) != len(names):
        raise argparse.ArgumentTypeError(f"'{text}' names a device twice, or 'none' among others")
    return names


def prompt_file(path: str) -> str:
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError as error:
        raise argparse.ArgumentTypeError(f"failed to open file '{path}': {error.strerror}") from None
    return data.decode("utf-8", "surrogateescape").removesuffix("\n")
