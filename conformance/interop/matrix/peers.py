"""The programs of one version of the protocol: two refimpl servers and a stock one on loopback, and both main hosts.

Stock 7.0.0 is built here; current llama.cpp, which speaks 8.0.0, runs where it can (current.py), and where it cannot,
the reason stands in `obstacle` and what needs it is not run.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import attrs

from conformance.interop.current import NotRun, current_llama, current_server, current_text
from conformance.interop.matrix.columns import CURRENT, EARLIER, TOKENS, Column, Who
from conformance.interop.processes import Server, our_program, run_text, running_server

__all__ = ["Peers", "greedy", "running_peers"]

CONTEXT = 512
THREADS = 2


@attrs.frozen
class Peers:
    """What the columns of one version run on."""

    version: str
    stock: Path
    """folder of the programs of stock 7.0.0"""
    model: Path
    servers: Mapping[Who, tuple[Server, ...]]
    obstacle: str = ""
    """why stock's programs of this version cannot run; empty where they do"""

    def lack(self, column: Column) -> str:
        """Why the column cannot be run; empty if it can."""
        return self.obstacle if column.needs_stock else ""

    def endpoints(self, column: Column) -> list[str]:
        """A server of its own for each part of the column."""
        free = {who: iter(found) for who, found in self.servers.items()}
        return [next(free[who]).endpoint for who in column.servers]

    async def text(self, column: Column, prompt: str, log: Path) -> str:
        """The prompt and its continuation. Raises ProcessFailed."""
        nodes = self.endpoints(column)
        if column.host is Who.STOCK and self.version == CURRENT:
            return await current_text(self.model, prompt, log, nodes, column.layers)
        host = our_program("refimpl-cli") if column.host is Who.OURS else str(self.stock / "llama-completion")
        return await run_text([host, *greedy(self.model, prompt), *_placed(nodes, column.layers)], log)


def greedy(model: Path, prompt: str) -> list[str]:
    """The flags are llama.cpp's own; both main hosts take them."""
    flags = ["-m", str(model), "-no-cnv", "--temp", "0", "-p", prompt, "-n", str(TOKENS)]
    return [*flags, "-c", str(CONTEXT), "-t", str(THREADS)]


def _placed(nodes: list[str], layers: int) -> list[str]:
    return ["--rpc", ",".join(nodes), "-ngl", str(layers)] if nodes else []


@asynccontextmanager
async def running_peers(version: str, stock: Path, model: Path, logs: Path) -> AsyncIterator[Peers]:
    """Start the servers. Raises ProcessFailed if one does not come up."""
    ours = [our_program("refimpl-server"), "--proto", version, "-t", "1"]
    async with AsyncExitStack() as stack:

        async def start(command: list[str], name: str) -> Server:
            return await stack.enter_async_context(running_server(command, logs / f"{name}-{version}.log"))

        servers: dict[Who, tuple[Server, ...]] = {}
        servers[Who.OURS] = (await start(ours, "refimpl-server-1"), await start(ours, "refimpl-server-2"))
        obstacle = ""
        if version == EARLIER:
            servers[Who.STOCK] = (await start([str(stock / "ggml-rpc-server"), "-t", "1"], "stock-server"),)
        else:
            try:
                await current_llama()
            except NotRun as reason:
                obstacle = str(reason)
            else:
                log = logs / f"stock-server-{version}.log"
                servers[Who.STOCK] = (await stack.enter_async_context(current_server(log)),)
        yield Peers(version, stock, model, servers, obstacle)
