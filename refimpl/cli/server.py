"""refimpl-server: serve this machine's devices to llama.cpp and to refimpl-cli.

Flags, defaults and the banner are those of llama.cpp's ggml-rpc-server; --proto and --also are ours: which version of
the protocol is spoken on which port, since a port speaks one and a client does not tell its own. Standard output
carries the banner, standard error all that happens later. Environment: LLAMA_CACHE moves the tensor cache of -c,
GGML_RPC_DEBUG=1 logs every command. SIGINT and SIGTERM stop running graphs and end it with exit code 0. A flag or
host that cannot be used is one line on standard error and exit code 2, a port that is taken exit code 1.
"""

import argparse
import logging
import os
import re
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from importlib import metadata
from typing import NoReturn

import attrs
import trio

from refimpl.cli.banner import Served, banner, exposure_warning
from refimpl.cli.report import report
from refimpl.device.protocol import Device
from refimpl.errors import RefimplError, UsageError
from refimpl.limits import Limits
from refimpl.service.cache import TensorCache, default_folder
from refimpl.service.server import Server
from refimpl.service.transport import endpoint_text
from spec.load import load

__all__ = ["DEVICES", "Options", "main", "parse"]

PROGRAM = "refimpl-server"
VERSIONS = load().versions
"""of the protocol, oldest first"""
FAILED = 1
MISUSED = 2
DEVICE_SEPARATORS = "[,/]+"


def _cpu(threads: int) -> Device:
    # Imported only here: it loads the compiler.
    from refimpl.device.cpu import CpuDevice

    return CpuDevice(threads)


DEVICES: dict[str, Callable[[int], Device]] = {"CPU": _cpu}
"""devices of this machine by name; each is made from the number of threads"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (see --help)")


@attrs.frozen
class Options:
    """The command line, checked."""

    host: str
    port: int
    """0 lets the system choose; the banner tells the choice"""
    devices: tuple[str, ...]
    threads: int
    cache: bool
    proto: str
    """protocol version spoken on `port`"""
    also: tuple[tuple[str, int], ...]
    """version and port of whatever else is served"""


def _version() -> str:
    try:
        return metadata.version("ggml-rpc-refimpl")
    except metadata.PackageNotFoundError:
        return "(not installed)"


def _parser() -> argparse.ArgumentParser:
    half = max(1, (os.cpu_count() or 1) // 2)
    every = ",".join(DEVICES)
    version = f"{PROGRAM} {_version()} (protocol {', '.join(reversed(VERSIONS))})"
    parser = _Parser(prog=PROGRAM, description="Serve this machine's devices over ggml RPC.", allow_abbrev=False)
    add = parser.add_argument
    add("-t", "--threads", type=int, default=half, metavar="N", help="threads of the CPU device (default: %(default)s)")
    add("-d", "--device", default=every, metavar="DEV1,DEV2", help="devices to serve (default: %(default)s)")
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
    return parser


def _version_at_port(text: str) -> tuple[str, int]:
    """``7.0.0@50053`` as version and port; raises ArgumentTypeError."""
    version, at, port = text.partition("@")
    if version not in VERSIONS or not at:
        known = " or ".join(f"{version}@PORT" for version in VERSIONS)
        raise argparse.ArgumentTypeError(f"{text!r} is not {known}")
    if not port.isascii() or not port.isdigit() or not int(port) < 1 << 16:
        raise argparse.ArgumentTypeError(f"{text!r}: a port is a number from 0 to 65535")
    return version, int(port)


def parse(argv: Sequence[str]) -> Options:
    """The options of a command line; raises UsageError for what cannot be used."""
    given = _parser().parse_args(argv)
    devices = tuple(re.split(DEVICE_SEPARATORS, given.device))
    for name in devices:
        if name not in DEVICES:
            raise UsageError(f"unknown device {name!r}; available: {', '.join(DEVICES)}")
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
        devices=devices,
        threads=given.threads,
        cache=given.cache,
        proto=given.proto,
        also=tuple(given.also),
    )


async def _listen(host: str, port: int) -> list[trio.SocketListener]:
    """Listeners on every address of the host. Raises UsageError for a host that is none, OSError for a port in use."""
    try:
        return await trio.open_tcp_listeners(port, host=host)
    except (trio.socket.gaierror, UnicodeError) as error:
        raise UsageError(f"-H {host}: {getattr(error, 'strerror', error)}") from error
    except OSError as error:
        where = endpoint_text(host, port)
        hint = "-p (or --also VERSION@PORT) chooses another port"
        raise OSError(f"cannot listen on {where}: {error.strerror or error}; {hint}") from error


def _debugging() -> bool:
    return os.environ.get("GGML_RPC_DEBUG", "") not in ("", "0")


async def _serve(options: Options) -> None:
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals, ExitStack() as stack:
        served = [(load().dialect(options.proto), await _listen(options.host, options.port))]
        served += [(load().dialect(version), await _listen(options.host, port)) for version, port in options.also]
        devices = [stack.enter_context(closing(DEVICES[name](options.threads))) for name in options.devices]
        cache = TensorCache(default_folder(os.environ)) if options.cache else None
        server = Server(devices, served[0][0], Limits(), cache=cache, trace=report, tell_commands=_debugging())
        async with trio.open_nursery() as nursery:
            for dialect, listeners in served:
                await nursery.start(server.serve, listeners, dialect)
            where = [Served(dialect.name, options.host, _ports(listeners)) for dialect, listeners in served]
            print(banner(where, cache, devices), flush=True)
            async for _ in signals:
                nursery.cancel_scope.cancel()
                break


def _ports(listeners: Sequence[trio.SocketListener]) -> tuple[int, ...]:
    """Those really bound, usually one."""
    return tuple(dict.fromkeys(listener.socket.getsockname()[1] for listener in listeners))


def main(argv: list[str] | None = None) -> int:
    """Run the server until it is told to end; the exit code."""
    logging.basicConfig(format="%(message)s", stream=sys.stderr)
    logging.getLogger("refimpl").setLevel(logging.DEBUG if _debugging() else logging.INFO)
    try:
        options = parse(sys.argv[1:] if argv is None else argv)
        if warning := exposure_warning(options.host):
            print(warning, file=sys.stderr, flush=True)
        trio.run(_serve, options)
    except UsageError as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        return MISUSED
    except (OSError, RefimplError) as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        return FAILED
    return 0


if __name__ == "__main__":
    sys.exit(main())
