"""The ways of continuing a prompt that must give one text: who is the main host, and which nodes hold the layers."""

from collections.abc import Callable
from pathlib import Path

import attrs

__all__ = ["COLUMNS", "PROMPTS", "TOKENS", "Column", "Peers", "greedy"]

PROMPTS = (
    "Hello, my name is",
    "def fibonacci(n):\n",
    "Once upon a time, in a small village by the sea,",
)
TOKENS = 48
CONTEXT = 512
THREADS = 2
ALL_LAYERS = 99
HALF_THE_LAYERS = 15


@attrs.frozen
class Peers:
    """What a run needs: programs, the model, and endpoints of running servers."""

    stock_host: str
    our_host: str
    model: Path
    ours: tuple[str, str]
    """two refimpl servers"""
    stock: str
    """one stock server"""


@attrs.frozen
class Column:
    """One way of running. `command` makes the command line that continues a prompt greedily."""

    name: str
    quick: bool
    """whether the three-minute part runs it"""
    command: Callable[[Peers, str], list[str]]


def greedy(host: str, peers: Peers, prompt: str, *nodes: str, layers: int = ALL_LAYERS) -> list[str]:
    """The flags are llama.cpp's own; both main hosts take them."""
    command = [host, "-m", str(peers.model), "-no-cnv", "--temp", "0", "-p", prompt, "-n", str(TOKENS)]
    command += ["-c", str(CONTEXT), "-t", str(THREADS)]
    return [*command, "--rpc", ",".join(nodes), "-ngl", str(layers)] if nodes else command


COLUMNS = (
    Column("stock host, local", True, lambda peers, prompt: greedy(peers.stock_host, peers, prompt)),
    Column(
        "stock host, two refimpl servers",
        True,
        lambda peers, prompt: greedy(peers.stock_host, peers, prompt, *peers.ours),
    ),
    Column("refimpl host, local", True, lambda peers, prompt: greedy(peers.our_host, peers, prompt)),
    Column(
        "refimpl host, -ngl 15 on a refimpl server",
        False,
        lambda peers, prompt: greedy(peers.our_host, peers, prompt, peers.ours[0], layers=HALF_THE_LAYERS),
    ),
    Column(
        "refimpl host, two refimpl servers",
        False,
        lambda peers, prompt: greedy(peers.our_host, peers, prompt, *peers.ours),
    ),
    Column(
        "refimpl host, refimpl and stock server",
        True,
        lambda peers, prompt: greedy(peers.our_host, peers, prompt, peers.ours[0], peers.stock),
    ),
)
"""the first one is the reference that every other is compared with"""
