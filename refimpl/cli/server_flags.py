"""The command line of refimpl-server.

Flags and defaults are those of llama.cpp's ggml-rpc-server; --proto and --also are ours: which version of the protocol
is spoken on which port, since a port speaks one and a client does not tell its own. So are the limits: each row of
BOUNDS is one flag, one field of Limits.
"""

import argparse
import math
import os
import re
from collections.abc import Callable, Sequence
from importlib import metadata
from typing import NoReturn

import attrs

from refimpl.errors import UsageError
from refimpl.limits import Limits
from refimpl.service.cache.place import Scope
from spec.load import load

__all__ = ["BOUNDS", "PROGRAM", "Bound", "Options", "Unit", "parse"]

PROGRAM = "refimpl-server"
VERSIONS = load().versions
"""of the protocol, oldest first"""
DEVICE_SEPARATORS = "[,/]+"
MIB = 1 << 20
MOST_COUNTED = 1 << 24
"""largest number of anything: indices stay below 2^31"""
MOST_MIB = 1 << 42
MOST_SECONDS = 1e9


@attrs.frozen
class Options:
    """The command line, checked."""

    host: str
    port: int
    """0 lets the system choose; the banner tells the choice"""
    devices: tuple[str, ...]
    threads: int
    cache: bool
    cache_scope: Scope
    proto: str
    """protocol version spoken on `port`"""
    also: tuple[tuple[str, int], ...]
    """version and port of whatever else is served"""
    limits: Limits
    asked_for: frozenset[str]
    """fields of `limits` that a flag has set"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (see --help)")


class _Help(argparse.HelpFormatter):
    """Help text in two columns, wide enough for the longest flag."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=34, width=120)


def _count(text: str) -> int:
    return _whole(text, 1, MOST_COUNTED)


def _mebibytes(text: str) -> int:
    return _whole(text, 1, MOST_MIB) * MIB


def _mebibytes_or_none(text: str) -> int:
    return _whole(text, 0, MOST_MIB) * MIB or MOST_MIB * MIB


def _whole(text: str, least: int, most: int) -> int:
    if not text.isascii() or not text.isdigit() or not least <= int(text) <= most:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {least} to {most}")
    return int(text)


def _seconds(text: str) -> float:
    """Seconds as a time to wait: 0 is for ever."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds <= MOST_SECONDS:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds from 0 to {MOST_SECONDS:g}")
    return seconds or math.inf


@attrs.frozen
class Unit:
    """How the value of a flag is read, and what it is called in the help text."""

    name: str
    convert: Callable[[str], float]


COUNT = Unit("N", _count)
MEMORY = Unit("MIB", _mebibytes)
MEMORY_OR_ALL = Unit("MIB", _mebibytes_or_none)
SECONDS = Unit("S", _seconds)


@attrs.frozen
class Bound:
    """A flag that sets a limit: its name, the field of Limits, and what it bounds."""

    flag: str
    field: str
    unit: Unit
    help: str

    @property
    def default(self) -> str:
        """The default as one would type it."""
        default = getattr(Limits(), self.field)
        if default in (math.inf, MOST_MIB * MIB):
            return "0"
        return f"{default // MIB if self.unit.name == MEMORY.name else default:g}"


BOUNDS: dict[str, tuple[Bound, ...]] = {
    "limits on clients": (
        Bound("--max-clients", "connections", COUNT, "connections at the same time"),
        Bound("--max-clients-per-host", "connections_per_peer", COUNT, "of them from one address"),
        Bound("--hello-timeout", "hello_timeout", SECONDS, "time for a new connection to say HELLO; 0: any"),
        Bound("--read-timeout", "message_timeout", SECONDS, "time for a message to come in, pause in tensor data"),
        Bound("--send-timeout", "send_timeout", SECONDS, "time in which a client takes in nothing of a reply"),
        Bound("--idle-timeout", "idle_timeout", SECONDS, "silence between two messages; 0: as long as it likes"),
    ),
    "limits on memory": (
        Bound("--max-memory", "device_bytes", MEMORY_OR_ALL, "memory of a device to give away; 0: what there is"),
        Bound("--max-client-memory", "buffer_bytes", MEMORY_OR_ALL, "memory of one connection; 0: what there is"),
        Bound("--max-buffers", "buffers", COUNT, "buffers of one connection"),
        Bound("--max-messages", "message_bytes_in_all", MEMORY, "graphs of all under way; less on small machines"),
        Bound("--max-graph-memory", "graph_memory_in_all", MEMORY, "compiled graphs of all; less on small machines"),
    ),
    "limits on graphs": (
        Bound("--max-graph", "graph_bytes", MEMORY, "largest graph that a client may send"),
        Bound("--max-graph-nodes", "graph_nodes", COUNT, "its nodes"),
        Bound("--max-graph-tensors", "graph_tensors", COUNT, "its tensors"),
    ),
    "tensor cache": (
        Bound("--cache-size", "cache_bytes", MEMORY, "what -c keeps at most, least recently used first out"),
    ),
}


def _version() -> str:
    try:
        return metadata.version("ggml-rpc-refimpl")
    except metadata.PackageNotFoundError:
        return "(not installed)"


def _parser(devices: Sequence[str]) -> argparse.ArgumentParser:
    half = max(1, (os.cpu_count() or 1) // 2)
    version = f"{PROGRAM} {_version()} (protocol {', '.join(reversed(VERSIONS))})"
    parser = _Parser(
        prog=PROGRAM,
        description="Serve this machine's devices over ggml RPC.",
        allow_abbrev=False,
        formatter_class=_Help,
    )
    add = parser.add_argument
    add("-t", "--threads", type=int, default=half, metavar="N", help="threads of the CPU device (default: %(default)s)")
    add(
        "-d",
        "--device",
        default=",".join(devices),
        metavar="DEV1,DEV2",
        help="devices to serve (default: %(default)s)",
    )
    add("-H", "--host", default="127.0.0.1", metavar="HOST", help="host or address to bind (default: %(default)s)")
    add("-p", "--port", type=int, default=50052, metavar="PORT", help="port to bind (default: %(default)s)")
    add("-c", "--cache", action="store_true", help="keep large tensors on disk, so that they travel once")
    add(
        "--proto",
        default=VERSIONS[-1],
        choices=tuple(reversed(VERSIONS)),
        help="protocol version to speak, the clients' own (default: %(default)s)",
    )
    add(
        "--also",
        action="append",
        default=[],
        type=_version_at_port,
        metavar="VERSION@PORT",
        help="speak another version on another port, with the same devices; may be given several times",
    )
    add("--version", action="version", version=version, help="show the version and exit")
    _add_bounds(parser)
    return parser


def _add_bounds(parser: argparse.ArgumentParser) -> None:
    for title, bounds in BOUNDS.items():
        group = parser.add_argument_group(title)
        for bound in bounds:
            group.add_argument(
                bound.flag,
                dest=bound.field,
                type=bound.unit.convert,
                default=argparse.SUPPRESS,
                metavar=bound.unit.name,
                help=f"{bound.help} (default: {bound.default})",
            )
    group.add_argument(
        "--cache-scope",
        choices=[scope.value for scope in Scope],
        default=Scope.PEER.value,
        help="who is given what is kept: the address that sent it, or all, in stock's own files (default: %(default)s)",
    )


def _version_at_port(text: str) -> tuple[str, int]:
    """``7.0.0@50053`` as version and port; raises ArgumentTypeError."""
    version, at, port = text.partition("@")
    if version not in VERSIONS or not at:
        known = " or ".join(f"{version}@PORT" for version in VERSIONS)
        raise argparse.ArgumentTypeError(f"{text!r} is not {known}")
    if not port.isascii() or not port.isdigit() or not int(port) < 1 << 16:
        raise argparse.ArgumentTypeError(f"{text!r}: a port is a number from 0 to 65535")
    return version, int(port)


def parse(argv: Sequence[str], devices: Sequence[str]) -> Options:
    """The options of a command line, given the names of the devices; raises UsageError for what cannot be used."""
    given = _parser(devices).parse_args(argv)
    chosen = tuple(re.split(DEVICE_SEPARATORS, given.device))
    for name in chosen:
        if name not in devices:
            raise UsageError(f"unknown device {name!r}; available: {', '.join(devices)}")
    if not 0 <= given.port < 1 << 16:
        raise UsageError(f"-p {given.port}: a port is a number from 0 to 65535")
    if not given.host:
        raise UsageError("-H needs a host name or an address")
    if given.threads < 1:
        raise UsageError(f"-t {given.threads}: at least one thread is needed")
    ports = [port for port in (given.port, *(port for _, port in given.also)) if port]
    if len(set(ports)) < len(ports):
        raise UsageError("--also: a port speaks one version; give each version a port of its own")
    return Options(
        host=given.host,
        port=given.port,
        devices=chosen,
        threads=given.threads,
        cache=given.cache,
        cache_scope=Scope(given.cache_scope),
        proto=given.proto,
        also=tuple(given.also),
        limits=_limits(given),
        asked_for=frozenset(field for field in _bounded() if hasattr(given, field)),
    )


def _bounded() -> list[str]:
    return [bound.field for bounds in BOUNDS.values() for bound in bounds]


def _limits(given: argparse.Namespace) -> Limits:
    limits = Limits(**{field: getattr(given, field) for field in _bounded() if hasattr(given, field)})
    if limits.message_bytes_in_all < limits.graph_bytes:
        messages, graph = limits.message_bytes_in_all // MIB, limits.graph_bytes // MIB
        raise UsageError(f"--max-messages {messages}: less than one graph of --max-graph {graph}")
    return limits
