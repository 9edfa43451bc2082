"""The ways alternate, every round runs all of them, and both drivers get the same flags."""

import json
import stat
from pathlib import Path

import pytest

from conformance.interop.processes import ProcessFailed
from conformance.interop.processes import Server as Running
from refimpl.bench import compare as module
from refimpl.bench.compare import compare
from refimpl.bench.figures import DECODE, PREFILL, Server
from refimpl.bench.programs import Plan, llama_bench
from refimpl.bench.ways import WAYS, Driver, Sample


def plan(folder: Path, rounds: int = 2) -> Plan:
    return Plan(stock=folder, model=folder / "m.gguf", logs=folder, rounds=rounds, prompt=16, generate=4)


def program(path: Path, lines: str) -> None:
    path.write_text(f"#!/bin/sh\n{lines}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


async def test_ways_alternate_and_the_first_round_is_not_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[tuple[Driver, str | None]] = []

    class Serving:
        def __init__(self, plan: Plan, server: Server) -> None:
            self.server = server

        async def __aenter__(self) -> Running:
            return Running(self.server.value, "7.0.0", 0)

        async def __aexit__(self, *failure: object) -> None:
            return None

    def bench(driver: Driver):  # type: ignore[no-untyped-def]
        async def run(plan: Plan, endpoint: str | None) -> dict[str, float]:
            ran.append((driver, endpoint))
            return {PREFILL: 1.0, DECODE: float(len(ran))}

        return run

    monkeypatch.setattr(module, "serving", Serving)
    monkeypatch.setattr(module, "llama_bench", bench(Driver.STOCK))
    monkeypatch.setattr(module, "our_bench", bench(Driver.OURS))
    samples: list[Sample] = []
    await compare(plan(tmp_path), samples.append)
    one_round = [(way.driver, way.server.value if way.server else None) for way in WAYS]
    assert ran == one_round * 3
    decode = [(sample.way, sample.round, sample.value) for sample in samples if sample.figure == DECODE]
    assert decode == [
        (way, number, float(1 + at + 6 * (number + 1))) for number in range(2) for at, way in enumerate(WAYS)
    ]


async def test_a_driver_is_given_the_plan_and_its_json_is_read(tmp_path: Path) -> None:
    answer = json.dumps([{"n_prompt": 16, "n_gen": 0, "avg_ts": 7.5}, {"n_prompt": 0, "n_gen": 4, "avg_ts": 2.5}])
    program(tmp_path / "llama-bench", f"echo \"$@\" > {tmp_path}/words\necho '{answer}'")
    assert await llama_bench(plan(tmp_path), "host:1") == {PREFILL: 7.5, DECODE: 2.5}
    words = (tmp_path / "words").read_text().split()
    flags = dict(zip(words[::2], words[1::2], strict=True))
    assert (flags["-p"], flags["-n"], flags["-t"], flags["-r"], flags["-o"]) == ("16", "4", "2", "1", "json")
    assert (flags["--rpc"], flags["-ngl"]) == ("host:1", "99")


async def test_a_driver_that_fails_is_named(tmp_path: Path) -> None:
    program(tmp_path / "llama-bench", "echo no such model >&2; exit 3")
    with pytest.raises(ProcessFailed, match=r"(?s)llama-bench exited with 3.*no such model"):
        await llama_bench(plan(tmp_path))
