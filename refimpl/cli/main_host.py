"""refimpl-cli: continues a text with a GGUF model whose layers may be split over nodes."""

import logging
import os
import signal
import sys
from collections.abc import AsyncIterator

import trio

from refimpl.device.protocol import Device
from refimpl.errors import UsageError
from refimpl.host.command.flags import parse
from refimpl.host.command.options import Options
from refimpl.host.outlet import Outlet
from refimpl.host.run import EXIT_FAILED, EXIT_INTERRUPTED, run

__all__ = ["main", "open_cpu"]


def main(argv: list[str] | None = None) -> int:
    """Entry point; argv is without the program name. Returns the exit code, as refimpl.host.run lists them."""
    logging.basicConfig(format="%(message)s", stream=sys.stderr)
    logging.getLogger("refimpl").setLevel(logging.INFO)
    outlet = Outlet(sys.stdout.buffer, sys.stderr)
    try:
        options = parse(sys.argv[1:] if argv is None else argv)
        return trio.run(_until_interrupt, options, outlet)
    except UsageError as error:
        outlet.fail(error)
        return EXIT_FAILED
    except KeyboardInterrupt:
        outlet.fail("interrupted")
        return EXIT_INTERRUPTED


def open_cpu(threads: int) -> Device:
    """The local CPU. Imported only when it has work to do: it loads the compiler."""
    from refimpl.device.cpu import CpuDevice

    return CpuDevice(threads)


async def _until_interrupt(options: Options, outlet: Outlet) -> int:
    """Run; on SIGINT cancel the run, which leaves the text made so far."""
    code = EXIT_INTERRUPTED
    with trio.open_signal_receiver(signal.SIGINT) as signals:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_cancel_on_signal, signals, nursery.cancel_scope)
            try:
                code = await run(options, outlet, open_cpu)
            except BrokenPipeError:
                code = EXIT_FAILED
                _forget_stdout()
            nursery.cancel_scope.cancel()
    if code == EXIT_INTERRUPTED:
        outlet.show(b"\n")
        outlet.fail("interrupted")
    return code


async def _cancel_on_signal(signals: AsyncIterator[int], scope: trio.CancelScope) -> None:
    async for _ in signals:
        scope.cancel()


def _forget_stdout() -> None:
    """Whoever read the text has gone: what is still buffered for them goes nowhere, also when the process exits."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
