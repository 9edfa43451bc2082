"""Thousands of connections, in small: a right server stands them, and each wrong one fails for its own reason."""

import io
import sys
from pathlib import Path

import pytest

from conformance.load.connections import Plan, connections
from conformance.load.kinds import KILLED, KINDS, VANISHED
from conformance.load.report import Findings
from conformance.load.testees import Wanted, running
from conformance.load.usage import MIB

COUNT = 60


async def load_on(session: str, folder: Path, **plan: float) -> Findings:
    """What is found out about a session in miniature, as a process of its own."""
    findings = Findings("connections", session, io.StringIO())
    command = f"{sys.executable} -m conformance.tests.load.served {session} {{port}}"
    wanted = Plan(count=COUNT, skip=(VANISHED,), **{"drain": 1.5, "allowance": 4 * MIB, **plan})  # type: ignore[arg-type]
    async with running(Wanted(spawn=command), folder) as loaded:
        await connections(loaded, wanted, findings)
    return findings


async def test_a_server_that_gives_everything_back_stands_it(tmp_path: Path) -> None:
    findings = await load_on("Timely", tmp_path, drain=20.0)
    assert findings.faults == []
    assert findings.figures["connections"] == COUNT
    assert findings.figures[f"of_kind_{KILLED}"]
    assert findings.figures["runs_of_a_bystander"]


async def test_memory_and_descriptors_that_stay_are_told(tmp_path: Path) -> None:
    memory, descriptors = (await load_on("KeepsEverything", tmp_path)).faults
    assert memory.startswith("resident memory has grown by ")
    assert memory.endswith("of which 4 MiB are allowed")
    assert int(descriptors.split()[0]) >= COUNT
    assert "more descriptors than before" in descriptors


async def test_a_bystander_that_loses_its_bytes_is_told(tmp_path: Path) -> None:
    (fault,) = (await load_on("SpillsOverOthers", tmp_path)).faults
    assert fault.startswith("a bystander's session: expected the ")


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_has_its_share(name: str) -> None:
    assert KINDS[name].share > 0
    assert sum(kind.share for kind in KINDS.values()) < 1000
