"""Files of a tensor cache that is full or damaged: a right server loses them at most; each wrong one is found out."""

from pathlib import Path

import pytest
import trio.testing

from conformance.judge.testee import NotReached
from conformance.load import cache
from conformance.load.cache import DAMAGES, TENSORS, Keeper
from conformance.load.report import Findings
from conformance.load.testees import Loaded
from conformance.tests.cases.miniature.session import Session
from conformance.tests.load.staged import found_by

TENSOR = 1 << 16
ROOM = 2 * TENSOR


@pytest.fixture(autouse=True)
def _small_tensors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "TENSOR", TENSOR)


class Keeps(Session):
    """A cache that stands what may become of files, on a disk of ROOM bytes."""

    def keep(self, folder: Path, payload: bytes) -> None:
        taken = sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
        self.write(folder, payload, room=max(0, ROOM - taken))

    def write(self, folder: Path, payload: bytes, room: int) -> None:
        if len(payload) > room:
            return
        path = self.kept(folder, self.digest)
        if path.is_symlink():
            path.unlink()
        if not path.is_dir():
            path.write_bytes(payload)

    def on_set_tensor_hash(self, tail: bytes, tensor: bytes, offset: int, hash: int) -> bytes:
        self.digest = hash
        return super().on_set_tensor_hash(tail, tensor, offset, hash)

    def look_up(self, folder: Path, digest: int) -> bytes | None:
        path = self.kept(folder, digest)
        if path.is_symlink() or not path.is_file():
            return None
        payload = path.read_bytes()
        if self.is_sound(payload, digest):
            return payload
        path.unlink()
        return None


class BelievesNames(Keeps):
    def is_sound(self, payload: bytes, digest: int) -> bool:
        return True


class LeavesHalves(Keeps):
    """Writes as much as there is room for."""

    def write(self, folder: Path, payload: bytes, room: int) -> None:
        super().write(folder, payload[:room], room)


class LeavesDrafts(Keeps):
    def write(self, folder: Path, payload: bytes, room: int) -> None:
        if len(payload) > room:
            (folder / "draft").write_bytes(payload[:room])
        super().write(folder, payload, room)


class KeepsNothing(Keeps):
    def keep(self, folder: Path, payload: bytes) -> None:
        pass


async def fill(loaded: Loaded, findings: Findings) -> None:
    folder = loaded.testee.grounds.cache
    assert folder is not None
    await Keeper(loaded, findings, folder).fill(ROOM)


async def damage(loaded: Loaded, findings: Findings) -> None:
    folder = loaded.testee.grounds.cache
    assert folder is not None
    await Keeper(loaded, findings, folder).damage()


async def test_a_full_disk_costs_nothing_but_time(autojump_clock: trio.testing.MockClock, tmp_path: Path) -> None:
    findings = await found_by(fill, Keeps, tmp_path)
    assert findings.faults == []
    assert findings.figures == {"full_disk_tensors_kept": 2, "full_disk_tensors_found": 2}


async def test_half_a_file_on_a_full_disk_is_told(autojump_clock: trio.testing.MockClock, tmp_path: Path) -> None:
    faults = (await found_by(fill, LeavesHalves, tmp_path)).faults
    assert any(fault.endswith("does not hold what its name says") for fault in faults)


async def test_a_draft_left_on_a_full_disk_is_told(autojump_clock: trio.testing.MockClock, tmp_path: Path) -> None:
    faults = (await found_by(fill, LeavesDrafts, tmp_path)).faults
    assert "full disk: draft was left behind in the cache folder" in faults


async def test_damaged_files_are_no_files(autojump_clock: trio.testing.MockClock, tmp_path: Path) -> None:
    findings = await found_by(damage, Keeps, tmp_path)
    assert findings.faults == []
    for way in DAMAGES:
        assert findings.figures[f"{way}: found at once"] == 0
    assert findings.figures["cut in half: found afterwards"] == 2 < TENSORS


async def test_bytes_of_a_damaged_file_are_told(autojump_clock: trio.testing.MockClock, tmp_path: Path) -> None:
    faults = (await found_by(damage, BelievesNames, tmp_path)).faults
    assert "tensor 0 came back changed (found)" in faults


async def test_a_testee_without_a_cache_is_not_judged(autojump_clock: trio.testing.MockClock, tmp_path: Path) -> None:
    with pytest.RaisesGroup(NotReached):
        await found_by(damage, KeepsNothing, tmp_path)
