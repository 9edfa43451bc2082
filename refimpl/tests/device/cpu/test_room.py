"""Who has a say in how much memory there is: the machine, control groups of both versions, limits of the process."""

from pathlib import Path

import psutil
import pytest

from refimpl.device.cpu.room import UNLIMITED, System, groups

GIB = 1 << 30
MACHINE = 64 * GIB


class Files:
    """A system's files below a folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def write(self, path: str, text: str) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def group(self, folder: str, limit: str, used: int, cached: int = 0) -> None:
        """A group of version 2."""
        self.write(f"sys/fs/cgroup{folder}/memory.max", f"{limit}\n")
        self.write(f"sys/fs/cgroup{folder}/memory.current", f"{used}\n")
        self.write(f"sys/fs/cgroup{folder}/memory.stat", f"anon 5\ninactive_file {cached}\n")

    def older_group(self, folder: str, limit: int, used: int, cached: int = 0) -> None:
        """A group of version 1."""
        self.write(f"sys/fs/cgroup/memory{folder}/memory.limit_in_bytes", f"{limit}\n")
        self.write(f"sys/fs/cgroup/memory{folder}/memory.usage_in_bytes", f"{used}\n")
        self.write(f"sys/fs/cgroup/memory{folder}/memory.stat", f"total_inactive_file {cached}\n")


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Files:
    class Machine:
        total = MACHINE
        available = MACHINE

    monkeypatch.setattr(psutil, "virtual_memory", Machine)
    return Files(tmp_path)


def test_without_groups_the_machine_decides(files: Files) -> None:
    system = System(files.root)
    assert (system.available(), system.total()) == (MACHINE, MACHINE)
    assert groups(files.root) == ()


def test_a_group_bounds_what_is_available_and_its_cached_files_count_as_free(files: Files) -> None:
    files.write("proc/self/cgroup", "0::/user/app\n")
    files.group("/user/app", str(8 * GIB), used=6 * GIB, cached=GIB)
    system = System(files.root)
    assert (system.available(), system.total()) == (3 * GIB, 8 * GIB)


def test_the_groups_around_a_group_have_a_say_too(files: Files) -> None:
    files.write("proc/self/cgroup", "0::/user/app\n")
    files.group("/user/app", "max", used=GIB)
    files.group("/user", str(4 * GIB), used=3 * GIB)
    assert System(files.root).available() == GIB


def test_groups_of_version_1(files: Files) -> None:
    files.write("proc/self/cgroup", "5:cpu,cpuacct:/\n4:memory:/docker/123\n0::/\n")
    files.older_group("/docker/123", 2 * GIB, used=GIB, cached=GIB // 2)
    files.older_group("", 0x7FFF_FFFF_FFFF_F000, used=9 * GIB)
    system = System(files.root)
    assert (system.available(), system.total()) == (GIB + GIB // 2, 2 * GIB)


def test_in_a_container_the_path_may_be_the_hosts_and_only_the_root_is_seen(files: Files) -> None:
    files.write("proc/self/cgroup", "4:memory:/docker/of/the/host\n")
    files.older_group("", GIB, used=GIB // 4)
    assert System(files.root).available() == GIB - GIB // 4


def test_a_group_that_tells_no_usage_has_no_say(files: Files) -> None:
    files.write("proc/self/cgroup", "0::/a\n")
    files.write("sys/fs/cgroup/a/memory.max", "1000\n")
    assert System(files.root).available() == MACHINE


@pytest.mark.parametrize(("mode", "mappable"), [("0", UNLIMITED), ("1", UNLIMITED), ("2", 3 * GIB)])
def test_a_system_that_counts_promises_is_believed(files: Files, mode: str, mappable: int) -> None:
    files.write("proc/sys/vm/overcommit_memory", f"{mode}\n")
    files.write("proc/meminfo", f"MemTotal: 1 kB\nCommitLimit: {5 << 20} kB\nCommitted_AS: {2 << 20} kB\n")
    assert System(files.root).mappable() == mappable


def test_what_the_process_touches_is_seen() -> None:
    system = System()
    before = system.touched()
    held = bytearray(b"x") * (64 << 20)
    assert 60 << 20 < system.touched() - before < 100 << 20
    assert len(held) == 64 << 20
