"""No kernel touches a byte before the first or behind the last one of its operands, not even to read it."""

import signal
import subprocess
import sys

import pytest

from refimpl.tests.kernels.cpu.flush import END, START
from refimpl.tests.project.tree import ROOT

TRESPASS = """
import ctypes, resource, sys
import numpy as np
from refimpl.tests.kernels.cpu.flush import between_pages
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
data = between_pages(np.arange(100, dtype=np.uint8), sys.argv[1])
assert bytes(data) == bytes(range(100)) == ctypes.string_at(data.ctypes.data, 100)
print("inside", flush=True)
ctypes.string_at(data.ctypes.data + int(sys.argv[2]), 1)
"""


def child(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize(("side", "threads"), [(END, 1), (END, 3), (START, 2)])
def test_no_kernel_leaves_its_operands(side: str, threads: int) -> None:
    done = child("-m", "refimpl.tests.kernels.cpu.flush", side, str(threads))
    last = done.stdout.splitlines()[-1:]
    assert not done.returncode, f"died with {done.returncode} in {last}\n{done.stderr[-2000:]}"
    assert len(done.stdout.splitlines()) > 700


@pytest.mark.parametrize(("side", "step"), [(END, "100"), (START, "-1")])
def test_one_byte_too_far_is_fatal(side: str, step: str) -> None:
    done = child("-c", TRESPASS, side, step)
    assert (done.stdout, done.returncode) == ("inside\n", -signal.SIGSEGV)
