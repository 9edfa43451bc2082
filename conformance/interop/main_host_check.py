"""refimpl-cli beside stock's programs: files in parts, cache types, weights kept by nodes, nodes lost in the middle.

`python -m conformance.interop.main_host_check` runs all checks, words behind it choose some. Each prints a line; the
exit code is 1 if one of them failed. Texts are greedy, made on a stock node, and compared with those of stock's main
host byte by byte.
"""

import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import attrs
import trio

from conformance.interop.model import smollm2
from conformance.interop.processes import ProcessFailed, our_program, run_text, running_server
from conformance.interop.stock import stock_programs

__all__ = ["CHECKS", "Place", "main"]

PROMPT = "The three primary colours are"
TEXT = ["-p", PROMPT, "-n", "24", "-c", "512", "--temp", "0"]
ENDLESS = ["-p", PROMPT, "-n", "-1", "-c", "512", "--temp", "0", "--ignore-eos"]
CACHES = (
    ("f32", "f32"),
    ("f16", "f16"),
    ("bf16", "bf16"),
    ("q8_0", "q8_0"),
    ("q4_0", "q4_1"),
    ("q5_1", "q5_0"),
)
EXIT_NODE_LOST = 3
COMPUTING = 5
"""seconds of a hanging node's silence, in which no healthy one takes so long for a token"""
PATIENCE = 120.0


@attrs.frozen
class Place:
    """Where things are."""

    programs: Path
    model: Path
    folder: Path

    def log(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def server(self, name: str, *flags: str) -> list[str]:
        """Command of a node: `stock` or `refimpl`."""
        program = str(self.programs / "ggml-rpc-server") if name == "stock" else our_program("refimpl-server")
        return [program, "-t", "1", *flags]

    async def ours(self, endpoint: str, *flags: str) -> str:
        """Text of our main host with all layers on a node."""
        command = [our_program("refimpl-cli"), "-m", str(self.model), *TEXT, "--rpc", endpoint, "-ngl", "all"]
        return await run_text([*command, *flags], self.log("refimpl-cli"))

    async def stock(self, endpoint: str, *flags: str) -> str:
        """Text of stock's main host with all layers on a node."""
        command = [str(self.programs / "llama-completion"), "-no-cnv", "-m", str(self.model), *TEXT]
        return await run_text([*command, "--rpc", endpoint, "-ngl", "99", *flags], self.log("llama-completion"))


async def _parts(place: Place) -> str:
    """A model that stock's llama-gguf-split has divided."""
    prefix = place.folder / "part"
    divide = [str(place.programs / "llama-gguf-split"), "--split", "--split-max-tensors", "100"]
    await run_text([*divide, str(place.model), str(prefix)], place.log("llama-gguf-split"))
    files = sorted(place.folder.glob("part-*.gguf"))
    async with running_server(place.server("stock"), place.log("stock")) as node:
        whole = await place.stock(node.endpoint)
        split = await place.ours(node.endpoint, "-m", str(files[0]), "-lm", "none")
    return _same(f"{len(files)} parts", whole, split)


async def _cache_types(place: Place) -> str:
    """K and V in every type that -ctk and -ctv take."""
    found: list[str] = []
    async with running_server(place.server("stock"), place.log("stock")) as node:
        for k, v in CACHES:
            flags = ["-ctk", k, "-ctv", v]
            found.append(
                _same(f"{k}/{v}", await place.stock(node.endpoint, *flags), await place.ours(node.endpoint, *flags))
            )
    return ", ".join(found)


async def _weights_elsewhere(place: Place) -> str:
    """-ot: products of single weights on another node."""
    servers = place.server("stock"), place.server("stock")
    async with (
        running_server(servers[0], place.log("stock")) as first,
        running_server(servers[1], place.log("stock-2")) as second,
    ):
        both = f"{first.endpoint},{second.endpoint}"
        whole = await place.ours(first.endpoint)
        moved = await place.ours(both, "-ts", "1,0", "-ot", r"blk\.1[0-9]\.ffn=RPC1,blk\.3\.attn_(q|k)=RPC1")
    return _same("-ot", whole, moved)


async def _kept_weights(place: Place) -> str:
    """A weight that one kind of node has kept is found by both kinds, and does not travel again."""
    cache = place.folder / "cache"
    found: list[str] = []
    for name, known in (("stock", False), ("refimpl", True), ("stock", True)):
        scope = ["--cache-scope", "all"] if name == "refimpl" else []
        command = ["env", f"LLAMA_CACHE={cache}", *place.server(name, "-c", *scope)]
        async with running_server(command, place.log(name)) as node:
            place.log("refimpl-cli").unlink(missing_ok=True)
            await place.ours(node.endpoint, "-n", "1")
        if ("cached" in place.log("refimpl-cli").read_text()) != known:
            raise ProcessFailed(f"{name} node with -c: the weight was {'not ' * known}found in {cache}")
        found.append(f"{name} {'finds it' if known else 'keeps it'}")
    return ", ".join(found)


async def _lost_nodes(place: Place) -> str:
    """kill -9 and SIGSTOP in the middle of a text."""
    found = [
        await _lost(place, name, sent, words)
        for name in ("refimpl", "stock")
        for sent, words in ((signal.SIGKILL, "closed the connection"), (signal.SIGSTOP, f"silent for {COMPUTING} s"))
    ]
    return ", ".join(found)


async def _lost(place: Place, name: str, sent: signal.Signals, words: str) -> str:
    """Send a signal to a node once there is text; the text has to stay, and one line to say what happened."""
    async with running_server(place.server(name), place.log(name)) as node:
        await place.ours(node.endpoint, "-n", "1")  # what a node compiles, it has compiled
        command = [our_program("refimpl-cli"), "-m", str(place.model), *ENDLESS, "--rpc", node.endpoint, "-ngl", "all"]
        with place.log("lost").open("wb") as notes, trio.fail_after(PATIENCE):
            flags = ["--rpc-timeout", f"10,{COMPUTING}"]
            host = await trio.lowlevel.open_process([*command, *flags], stdout=subprocess.PIPE, stderr=notes)
            try:
                text = await _until(host, len(PROMPT) + 20)
                begin = trio.current_time()
                os.kill(node.pid, sent)
                text += await _until(host, 1 << 30)
                code = await host.wait()
                seconds = trio.current_time() - begin
            finally:
                os.kill(node.pid, signal.SIGKILL)
                host.kill()
    last = place.log("lost").read_text().splitlines()[-1]
    wanted = rf"refimpl-cli: {node.endpoint}: {words}.*(GRAPH_COMPUTE|GRAPH_RECOMPUTE|GET_TENSOR)"
    if code != EXIT_NODE_LOST or not re.match(wanted, last) or not text.startswith(PROMPT.encode()):
        raise ProcessFailed(f"{name} and {sent.name}: exit code {code}, text {text!r}, {last!r}")
    return f"{name} {sent.name} after {len(text)} bytes: exit {code} in {seconds:.1f} s"


async def _until(host: trio.Process, size: int) -> bytes:
    """What a process writes, up to at least `size` bytes or its end."""
    assert host.stdout is not None
    text = b""
    while len(text) < size and (part := await host.stdout.receive_some()):
        text += part
    return text


def _same(what: str, wanted: str, text: str) -> str:
    """`what` if the texts agree; raises ProcessFailed."""
    if wanted.rstrip("\n") != text.rstrip("\n"):
        raise ProcessFailed(f"{what}: {text!r} instead of {wanted!r}")
    return what


CHECKS: dict[str, Callable[[Place], Awaitable[str]]] = {
    "parts": _parts,
    "cache-types": _cache_types,
    "weights-elsewhere": _weights_elsewhere,
    "kept-weights": _kept_weights,
    "lost-nodes": _lost_nodes,
}


async def main(names: Sequence[str]) -> int:
    """Run the named checks, or all; the exit code."""
    failed = 0
    programs, model = await stock_programs(), await smollm2()
    for name in names or CHECKS:
        with tempfile.TemporaryDirectory() as folder:
            try:
                print(f"{name}: {await CHECKS[name](Place(programs, model, Path(folder)))}", flush=True)
            except ProcessFailed as failure:
                failed += 1
                print(f"{name}: FAILED: {failure}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(trio.run(main, sys.argv[1:]))
