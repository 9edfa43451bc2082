"""The tensor cache under real use: no room on its disk, and files that have been damaged between two uses.

Rules
- A cache may lose everything; it may never make a client's bytes or text wrong, and never cost anybody a connection.
- The disk is a tmpfs of a few MiB. Where mounting is not allowed the files of the testee may only become so large
  (RLIMIT_FSIZE), which fails in the middle of a file as well.
- Raw clients upload as CACHE-2 to CACHE-5 say: offer the hash, send the payload when it is not there, read it back. A
  main host makes a text besides, whose largest weights go the same way.
- The folder is looked through: a file that is named as a hash holds what has that hash (CACHE-7), whatever failed.
"""

import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

import attrs
import numpy as np

from conformance.cases.talk import Buffer, get, number_of, opened, row
from conformance.interop.model import smollm2
from conformance.interop.processes import ProcessFailed, our_program
from conformance.judge.codec import Codec
from conformance.judge.fnv import fnv1a64
from conformance.judge.steps import Mismatch, Send
from conformance.judge.testee import NotReached
from conformance.load.client import client, is_served
from conformance.load.report import Findings
from conformance.load.testees import Loaded, Wanted, running
from conformance.load.texts import main_host
from conformance.load.usage import MIB

__all__ = ["DAMAGES", "TENSOR", "TENSORS", "Keeper", "MainHost", "Plan", "cache"]

TENSOR = 11 * MIB
"""bytes of each: over the 10 MiB from which clients offer hashes"""
RANDOM = 4096
"""bytes at the beginning of each; zeros follow, so that the hash is worked out quickly"""
UNWRITTEN = 0xEE
"""what a buffer holds before, so that bytes that never came show"""
TENSORS = 4
ROOM = 24 * MIB
"""of the small disk: two tensors"""
NAME_DIGITS = 16
TOKENS = 24
PATIENCE = 300.0
"""seconds for a text of a main host"""
PROMPT = "The three primary colours are"


@attrs.frozen(kw_only=True)
class Plan:
    """model: of the main host; None takes SmolLM2."""

    model: Path | None = None


async def cache(wanted: Wanted, plan: Plan, findings: Findings, folder: Path) -> None:
    """Run the load. Raises NotReached for a testee without a cache."""
    model = plan.model or await smollm2()
    small, roomy = folder / "small", folder / "roomy"
    roomy.mkdir(parents=True)
    with _small_disk(small, findings) as prefix:
        async with running(attrs.evolve(wanted, prefix=prefix, cache=small), folder) as loaded:
            keeper = Keeper(loaded, findings, small)
            await keeper.fill(ROOM)
            await MainHost(keeper, model).write("full disk")
            await keeper.well("full disk")
    async with running(attrs.evolve(wanted, cache=roomy), folder) as loaded:
        keeper = Keeper(loaded, findings, roomy)
        await keeper.damage()
        await keeper.well("damaged files")
        await MainHost(keeper, model).over_damaged_files()
        await keeper.well("damaged files under a main host")


@contextmanager
def _small_disk(place: Path, findings: Findings) -> Iterator[tuple[str, ...]]:
    """Make `place` a disk of ROOM bytes; yields what has to stand before the testee's command."""
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={ROOM}", "none", str(place)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        findings.note("no disk can be mounted here: the testee's files were limited in size instead")
        yield ("prlimit", f"--fsize={TENSOR // 2}")
        return
    try:
        yield ()
    finally:
        subprocess.run(["umount", str(place)], check=True)


def _payload(number: int) -> bytes:
    head = np.random.default_rng(number).integers(1, 256, RANDOM, np.uint8).tobytes()
    return head + bytes(TENSOR - RANDOM)


@attrs.frozen
class Keeper:
    """A testee, and the folder in which it keeps tensors."""

    loaded: Loaded
    findings: Findings
    folder: Path

    async def fill(self, room: int) -> None:
        """Upload more than a disk of `room` bytes takes, twice."""
        for turn in ("first", "again"):
            found = await self._uploads(f"full disk, {turn}")
        kept = len(self.files())
        self.findings.figure(full_disk_tensors_kept=kept, full_disk_tensors_found=found)
        if kept * TENSOR > room:
            self.findings.fault(f"{kept} tensors of {TENSOR} bytes are named on a disk of {room}")
        self._whole_files("full disk")

    async def damage(self) -> None:
        """Each way to damage files, between two uploads of the same tensors. Raises NotReached where none are kept."""
        await self._uploads("at first")
        if not self.files():
            raise NotReached("no file appeared in the cache folder: the testee has no cache, or was started without it")
        for way, damage in DAMAGES.items():
            if self.loaded.testee.dead():
                return
            if not self.files():
                self.empty()
                await self._uploads(f"before: {way}")
            self.damage_all(damage)
            found = await self._uploads(way)
            healed = await self._uploads(f"{way}, afterwards")
            self.findings.figure(**{f"{way}: found at once": found, f"{way}: found afterwards": healed})
        self._whole_files("damaged files")

    async def _uploads(self, when: str) -> int:
        """All tensors; how many the testee had. The first fault ends it."""
        faults, found = len(self.findings.faults), 0
        for number in range(TENSORS):
            found += await self._upload(number)
            if len(self.findings.faults) > faults:
                break
        self.findings.tell(f"{when}: {found} of {TENSORS} tensors were found")
        return found

    async def _upload(self, number: int) -> bool:
        """One client that stores a tensor and reads it back; whether the testee had it already."""
        codec, data = self.loaded.codec, _payload(number)
        try:
            async with client(self.loaded.dial, codec, self.loaded.timeout) as one:
                buffer = await one.do(opened(codec, TENSOR))
                await one.perform(Send(codec.request("BUFFER_CLEAR", handle=buffer.handle, value=UNWRITTEN)))
                record = row(codec, buffer, TENSOR)
                digest = fnv1a64(codec.dialect, data)
                found = await one.do(number_of(codec, "SET_TENSOR_HASH", "found", tensor=record, hash=digest))
                if not found:
                    await one.perform(Send(_kept(codec, buffer, data)))
                if await one.do(get(codec, record, TENSOR)) != data:
                    self.findings.fault(f"tensor {number} came back changed ({'found' if found else 'sent'})")
                return bool(found)
        except (Mismatch, OSError) as wrong:
            self.findings.fault(f"tensor {number}: {wrong}")
            return False

    def files(self) -> list[Path]:
        """What is kept: files named as hashes, and links."""
        below = self.folder.rglob("*")
        return sorted(path for path in below if len(path.name) == NAME_DIGITS and (path.is_file() or path.is_symlink()))

    def empty(self) -> None:
        """Remove all that is kept, and what stands in its place."""
        for entry in self.folder.iterdir():
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()

    def damage_all(self, damage: Callable[[Path], None]) -> None:
        """Do that to every file."""
        for file in self.files():
            damage(file)

    def _whole_files(self, when: str) -> None:
        """Drafts are gone, and what has a name deserves it."""
        for path in (path for path in self.folder.rglob("*") if path.is_file()):
            if len(path.name) != NAME_DIGITS:
                self.findings.fault(f"{when}: {path.name} was left behind in the cache folder")
            elif fnv1a64(self.loaded.codec.dialect, path.read_bytes()) != int(path.name, 16):
                self.findings.fault(f"{when}: {path.name} does not hold what its name says")

    async def well(self, when: str) -> None:
        """The testee lives, and serves a fresh client."""
        if ending := self.loaded.testee.dead():
            self.findings.fault(f"{when}: {ending}")
        elif wrong := await is_served(self.loaded.dial, self.loaded.codec, self.loaded.timeout):
            self.findings.fault(f"{when}, a fresh client: {wrong}")


@attrs.frozen
class MainHost:
    """refimpl-cli over the testee: its largest weights are kept like any client's."""

    keeper: Keeper
    model: Path

    async def over_damaged_files(self) -> None:
        """The same text again after each of those ways to damage what it has left there."""
        self.keeper.empty()
        reference = await self.write("empty cache")
        for way in OF_A_MAIN_HOST:
            self.keeper.damage_all(DAMAGES[way])
            if await self.write(way) != reference:
                self.keeper.findings.fault(f"{way}: another text")

    async def write(self, when: str) -> str:
        """A text; empty, and a fault, where there is none."""
        program, findings = our_program("refimpl-cli"), self.keeper.findings
        write = main_host(self.keeper.loaded, program, self.model, TOKENS, PATIENCE)
        try:
            text = await write(PROMPT, self.keeper.folder.with_name("main-host.log"))
        except ProcessFailed as failure:
            findings.fault(f"{when}: {failure}")
            return ""
        findings.tell(f"{when}: {text!r}")
        return text


def _kept(codec: Codec, buffer: Buffer, data: bytes) -> bytes:
    """SET_TENSOR of a payload that is worth keeping."""
    return codec.request("SET_TENSOR", data, tensor=row(codec, buffer, len(data)), cache_flag=1)


def _halved(file: Path) -> None:
    with file.open("r+b") as opened_file:
        opened_file.truncate(file.stat().st_size // 2)


def _emptied(file: Path) -> None:
    file.write_bytes(b"")


def _altered(file: Path) -> None:
    with file.open("r+b") as opened_file:
        opened_file.seek(RANDOM // 2)
        byte = opened_file.read(1)
        opened_file.seek(RANDOM // 2)
        opened_file.write(bytes([byte[0] ^ 1]) if byte else b"not empty any more")


def _grown(file: Path) -> None:
    with file.open("ab") as opened_file:
        opened_file.write(b"more")


def _a_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def _dangling(file: Path) -> None:
    file.unlink()
    file.symlink_to(file.with_name("nowhere"))


def _endless(file: Path) -> None:
    file.unlink()
    file.symlink_to("/dev/zero")


DAMAGES: Mapping[str, Callable[[Path], None]] = MappingProxyType(
    {
        "cut in half": _halved,
        "emptied": _emptied,
        "one bit changed": _altered,
        "bytes behind it": _grown,
        "a link to nowhere": _dangling,
        "a folder in its place": _a_folder,
        "a link to /dev/zero": _endless,
    }
)
"""what may have become of a file between two uses"""
OF_A_MAIN_HOST = ("cut in half", "emptied", "one bit changed", "bytes behind it")
