"""SmolLM2-135M speaks across two servers on loopback: fetch the model, start them, run the main host, stop them."""

import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

import trio

from conformance.interop.model import smollm2
from conformance.interop.processes import ProcessFailed, our_program, running_server

__all__ = ["main"]

PROMPT = "Hello, my name is"
TOKENS = "64"


async def _demo(logs: Path) -> int:
    model = await smollm2()
    _say(f"model: {model}")
    server, host = our_program("refimpl-server"), our_program("refimpl-cli")
    _say("starting two servers (a first start compiles the kernels: that takes a while, once)")
    async with (
        running_server([server], logs / "server-1.log") as first,
        running_server([server], logs / "server-2.log") as second,
    ):
        for one in (first, second):
            _say(f"refimpl-server on {one.endpoint}: process {one.pid}, protocol {one.version}")
        command = [host, "-m", str(model), "-p", PROMPT, "-n", TOKENS]
        command += ["--rpc", f"{first.endpoint},{second.endpoint}", "-ngl", "99"]
        _say(f"$ {shlex.join(['refimpl-cli', *command[1:]])}")
        outcome = await trio.run_process(command, stdin=subprocess.DEVNULL, check=False)
    print(flush=True)
    _say(f"both servers stopped; what they wrote is in {logs}")
    return outcome.returncode


def main() -> int:
    """Run the demo; returns the main host's exit code, or 1 when a server does not start."""
    try:
        return trio.run(_demo, Path(tempfile.mkdtemp(prefix="refimpl-demo-")))
    except ProcessFailed as failure:
        _say(str(failure))
        return 1


def _say(line: str) -> None:
    print(f"demo: {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
