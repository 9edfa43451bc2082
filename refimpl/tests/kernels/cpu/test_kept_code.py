"""A cache folder that is full or broken costs the time to compile, and a line in the log; kernels work in any case."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from refimpl.tests.project.tree import ROOT

LOAD = """
import json, logging, resource, signal, sys
logging.basicConfig(format="%(message)s")
if sys.argv[1] == "full":
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
from refimpl.kernels.cpu.matmul.packing import pack_q4_0 as kernel
assert kernel.address
print(json.dumps(kernel.fresh))
"""


def compiled_by_a_process(cache: Path, disk: str = "") -> tuple[bool, str]:
    """Whether a process with this cache had to compile the kernel, and what it said."""
    env = {**os.environ, "XDG_CACHE_HOME": str(cache)}
    command = [sys.executable, "-c", LOAD, disk]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=300)
    assert not done.returncode, done.stderr
    return json.loads(done.stdout), done.stderr


def test_on_a_full_disk_nothing_is_kept(tmp_path: Path) -> None:
    fresh, said = compiled_by_a_process(tmp_path, "full")
    assert fresh
    assert "compiled code is not kept" in said
    assert compiled_by_a_process(tmp_path) == (True, "")


@pytest.mark.parametrize(("suffix", "length"), [(".nbi", 0), (".nbc", 100)])
def test_a_broken_file_is_compiled_anew_once(tmp_path: Path, suffix: str, length: int) -> None:
    compiled_by_a_process(tmp_path)
    (broken,) = tmp_path.rglob(f"*pack_q4_0*{suffix}")
    broken.write_bytes(broken.read_bytes()[:length])
    fresh, said = compiled_by_a_process(tmp_path)
    assert fresh
    assert "cannot be read" in said
    assert compiled_by_a_process(tmp_path) == (False, "")
