"""refimpl-server: serve this machine's devices to llama.cpp and to refimpl-cli.

Flags, defaults and the banner are those of llama.cpp's ggml-rpc-server, and some of our own (server_flags.py). Standard
output carries the banner, standard error all that happens later. Environment: LLAMA_CACHE moves the tensor cache of -c,
GGML_RPC_DEBUG=1 logs every command. SIGINT and SIGTERM stop running graphs and end it with exit code 0. A flag or
host that cannot be used is one line on standard error and exit code 2, a port that is taken exit code 1.
"""

import gc
import logging
import os
import resource
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager

import trio

from refimpl.cli.banner import Served, banner, exposure_warning
from refimpl.cli.quiet import QuietHandler
from refimpl.cli.report import Report
from refimpl.cli.server_flags import PROGRAM, Options, parse
from refimpl.device.protocol import Device
from refimpl.errors import RefimplError, UsageError
from refimpl.limits import Limits
from refimpl.service.cache.place import default_folder
from refimpl.service.cache.tensors import TensorCache
from refimpl.service.server import Server
from refimpl.service.transport import endpoint_text
from spec.load import load

__all__ = ["DEVICES", "main"]

FAILED = 1
MISUSED = 2
OTHER_FILES = 64
"""descriptors besides those of connections: listeners, the log, files of the cache, libraries"""


def _cpu(options: Options) -> Device:
    # Imported only here: it loads the compiler.
    from refimpl.device.cpu import CpuDevice

    return CpuDevice(options.threads, limit=options.limits.device_bytes)


DEVICES: dict[str, Callable[[Options], Device]] = {"CPU": _cpu}
"""devices of this machine by name"""


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
        devices = [stack.enter_context(closing(DEVICES[name](options))) for name in options.devices]
        cache = _cache(options) if options.cache else None
        # What has been loaded so far stays: the collector need not walk through it, and halt all clients, ever again.
        gc.collect()
        gc.freeze()
        limits = _for_this_machine(options)
        server = Server(devices, served[0][0], limits, cache=cache, trace=Report(), tell_commands=_debugging())
        async with trio.open_nursery() as nursery:
            for dialect, listeners in served:
                await nursery.start(server.serve, listeners, dialect)
            where = [Served(dialect.name, options.host, _ports(listeners)) for dialect, listeners in served]
            print(banner(where, cache, devices), flush=True)
            async for _ in signals:
                nursery.cancel_scope.cancel()
                break


def _for_this_machine(options: Options) -> Limits:
    from refimpl.device.cpu.room import promises

    return options.limits.scaled(promises().system.total(), keep=options.asked_for)


def _cache(options: Options) -> TensorCache:
    return TensorCache(default_folder(os.environ), options.limits, options.cache_scope)


def _ports(listeners: Sequence[trio.SocketListener]) -> tuple[int, ...]:
    """Those really bound, usually one."""
    return tuple(dict.fromkeys(listener.socket.getsockname()[1] for listener in listeners))


@contextmanager
def _logging() -> Iterator[None]:
    """The log on standard error, which tells at the end what it has held back."""
    handler = QuietHandler(logging.StreamHandler(sys.stderr))
    log = logging.getLogger()
    log.addHandler(handler)
    logging.getLogger("refimpl").setLevel(logging.DEBUG if _debugging() else logging.INFO)
    try:
        yield
    finally:
        log.removeHandler(handler)
        handler.close()


def _make_room_for(connections: int) -> None:
    """Let this process open as many descriptors as its clients need, or say that the system does not."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + OTHER_FILES
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    possible = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (possible, hard))
    if possible < wanted:
        print(f"WARNING: --max-clients {connections}: the system allows {hard} open files only", file=sys.stderr)


def main(argv: list[str] | None = None) -> int:
    """Run the server until it is told to end; the exit code."""
    try:
        options = parse(sys.argv[1:] if argv is None else argv, tuple(DEVICES))
        if warning := exposure_warning(options.host):
            print(warning, file=sys.stderr, flush=True)
        _make_room_for(options.limits.connections)
        with _logging():
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
