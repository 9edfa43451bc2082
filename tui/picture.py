"""The picture in the README: the live table over servers that are started for it, as SVG.

    python -m tui.picture -o docs/fleet.svg --server 'refimpl-server -p {port}' --server 'ggml-rpc-server -p {port}'

The servers get consecutive ports of loopback, are waited for, looked at for a few rounds, and ended. Exit code 1, and
no picture, if one of them ends or does not answer in time.
"""

import argparse
import asyncio
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tui.app import FleetApp
from tui.screens.fleet import FleetScreen

__all__ = ["NoPicture", "main", "picture"]

HOST = "127.0.0.1"
READY_SECONDS = 600.0
"""a first start may compile kernels"""
STOP_SECONDS = 10.0
ROUNDS = 4
"""readings of each node, so that the median is one"""
POLL = 0.1
INTERVAL = 1.0


class NoPicture(Exception):
    """A server ended, or did not answer in time."""


@contextmanager
def _server(command: str, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """A server on a port, until the block ends."""
    quiet = subprocess.DEVNULL
    words = shlex.split(command.replace("{port}", str(port)))
    process = subprocess.Popen(words, stdin=quiet, stdout=quiet, stderr=quiet)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


async def picture(endpoints: Sequence[str], size: tuple[int, int], servers: Sequence[subprocess.Popen[bytes]]) -> str:
    """SVG of the table once all nodes answer, the cursor on the last one; `size` is columns and rows."""
    app = FleetApp(endpoints, INTERVAL)
    async with app.run_test(size=size) as pilot:
        try:
            async with asyncio.timeout(READY_SECONDS):
                while not _ready(app):
                    if ended := [process for process in servers if process.poll() is not None]:
                        raise NoPicture(f"{ended[0].args!r} ended with {ended[0].returncode}")
                    await pilot.pause(POLL)
        except TimeoutError as error:
            raise NoPicture(f"not all nodes answered within {READY_SECONDS:g} s") from error
        await pilot.press(*["j"] * (len(endpoints) - 1))
        assert isinstance(app.screen, FleetScreen)
        app.screen.redraw()
        await pilot.pause()
        return app.export_screenshot(title=f"refimpl-tui {' '.join(endpoints)}")


def _ready(app: FleetApp) -> bool:
    nodes = list(app.fleet.nodes.values())
    known = all(node.serves is not None for node in nodes)
    return app.fleet.all_answer(app.clock()) and known and max(len(node.round_trips) for node in nodes) >= ROUNDS


def main(argv: list[str] | None = None) -> int:
    """Make the picture; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tui.picture", description=(__doc__ or "").partition("\n")[0])
    add = parser.add_argument
    add("-o", "--output", type=Path, required=True, metavar="FILE.svg")
    add("--server", action="append", required=True, metavar="'CMD {port}'", help="a node to start; may be repeated")
    add("--port", type=int, default=50052, help="of the first server (default: %(default)s)")
    add("--size", type=int, nargs=2, default=(100, 14), metavar=("COLUMNS", "ROWS"), help="(default: 100 14)")
    given = parser.parse_args(argv)
    ports = [given.port + index for index in range(len(given.server))]
    with ExitStack() as stack:
        servers = [
            stack.enter_context(_server(command, port)) for command, port in zip(given.server, ports, strict=True)
        ]
        try:
            svg = asyncio.run(picture([f"{HOST}:{port}" for port in ports], tuple(given.size), servers))
        except NoPicture as error:
            print(f"no picture: {error}", file=sys.stderr)
            return 1
    given.output.parent.mkdir(parents=True, exist_ok=True)
    given.output.write_text(svg, encoding="utf-8")
    print(f"{given.output}: {len(svg)} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
