"""What refimpl-cli does not wait for: the compiler is loaded only where this machine has something to compute."""

import sys

import pytest
import trio

from refimpl.tests.model.tiny import TINY_PATH
from refimpl.tests.oracle_device import OracleDevice
from refimpl.tests.service.harness import PATIENCE, running

TELL = """
import sys
from refimpl.cli.main_host import main
try:
    code = main(sys.argv[1:])
except SystemExit as left:
    code = left.code
print("numba" in sys.modules, code, file=sys.stderr)
"""
RUN = ["-m", str(TINY_PATH), "-p", "for", "-c", "256", "--temp", "0", "-n", "3"]


async def told(*words: str) -> str:
    """The last word of a run: whether the compiler was loaded, and the exit code."""
    with trio.fail_after(6 * PATIENCE):
        done = await trio.run_process(
            [sys.executable, "-c", TELL, *words], capture_stdout=True, capture_stderr=True, check=False
        )
    return str(done.stderr.decode().splitlines()[-1])


@pytest.mark.parametrize(("words", "code"), [(["-h"], 0), (["--list-devices"], 0), ([], 1), (["-m", "/no/file"], 1)])
async def test_what_computes_nothing_loads_no_compiler(words: list[str], code: int) -> None:
    assert await told(*words) == f"False {code}"


async def test_a_run_on_nodes_alone_loads_no_compiler() -> None:
    async with running(OracleDevice()) as node:
        assert await told(*RUN, "--rpc", node.endpoint, "-ngl", "all") == "False 0"


async def test_a_plan_with_local_layers_does_load_it() -> None:
    assert await told(*RUN, "--dry-run") == "True 0"
