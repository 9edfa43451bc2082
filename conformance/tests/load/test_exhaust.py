"""No memory left: a right server refuses and lives on; each wrong one fails for its own reason."""

from pathlib import Path

import trio.testing

from conformance.load.exhaust import Plan, until_refused
from conformance.load.report import Findings
from conformance.load.testees import Loaded
from conformance.tests.cases.miniature.session import Session
from conformance.tests.cases.miniature.world import FIRST_BASE, MEMORY, Dead, Held, Refused
from conformance.tests.cases.wrong.life import NeverReleases, OneClient
from conformance.tests.load.staged import found_by


class GrantsEverything(Session):
    """And has it only on paper."""

    def on_alloc_buffer(self, tail: bytes, device: int, size: int) -> bytes:
        handle = self.new_handle()
        self.world.buffers[handle] = Held(self, FIRST_BASE, bytearray(min(size, 1 << 16)))
        return self.codec.pack("alloc_buffer_rsp", {"handle": handle, "size": size})


class ClosesInsteadOfRefusing(Session):
    def on_alloc_buffer(self, tail: bytes, device: int, size: int) -> bytes:
        if self.world.used + size > MEMORY:
            raise Refused
        return super().on_alloc_buffer(tail, device, size)


class DiesInsteadOfRefusing(Session):
    def on_alloc_buffer(self, tail: bytes, device: int, size: int) -> bytes:
        if self.world.used + size > MEMORY:
            raise Dead("ended by SIGKILL")
        return super().on_alloc_buffer(tail, device, size)


async def hog(loaded: Loaded, findings: Findings) -> None:
    await until_refused(loaded, Plan(touch=True), findings)


async def test_a_server_that_refuses_in_time_stands_it(autojump_clock: trio.testing.MockClock) -> None:
    findings = await found_by(hog, Session)
    assert findings.faults == []
    counts = str(findings.figures["buffers_by_turn"]).split(", ")
    assert len(counts) == 3
    assert len(set(counts)) == 1


async def test_memory_that_does_not_come_back_is_told(autojump_clock: trio.testing.MockClock) -> None:
    faults = (await found_by(hog, NeverReleases)).faults
    assert any("has not come back" in fault for fault in faults)


async def test_more_than_there_is_is_told(autojump_clock: trio.testing.MockClock) -> None:
    findings = await found_by(hog, GrantsEverything)
    assert any(fault.endswith(f"were granted, of {MEMORY >> 20}") for fault in findings.faults)
    assert any(fault.startswith(f"{(1 << 64) - 1} bytes were granted") for fault in findings.faults)
    assert any("never refused" in note for note in findings.notes)


async def test_a_connection_closed_for_asking_is_told(autojump_clock: trio.testing.MockClock) -> None:
    faults = (await found_by(hog, ClosesInsteadOfRefusing)).faults
    assert any("came the connection was closed" in fault for fault in faults)


async def test_a_death_is_told_and_ends_the_load(autojump_clock: trio.testing.MockClock) -> None:
    faults = (await found_by(hog, DiesInsteadOfRefusing)).faults
    assert "turn 1: ended by SIGKILL" in faults
    assert not any(fault.startswith("turn 2") for fault in faults)


async def test_one_client_at_a_time_has_no_bystander(autojump_clock: trio.testing.MockClock, tmp_path: Path) -> None:
    findings = await found_by(hog, OneClient)
    assert (findings.faults, len(findings.notes)) == ([], 2)
