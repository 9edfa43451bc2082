"""refimpl-bench as a program: small real runs of `run` and `make-model`, every op by definition."""

import json
from pathlib import Path

import pytest
import trio

from refimpl.bench.llama.driver import run_job
from refimpl.bench.llama.outcome import Outcome
from refimpl.cli.bench import job_of, main
from refimpl.cli.bench_flags import parser
from refimpl.host.command.options import FlashAttention, Layers
from refimpl.tests.fake_device import FakeDevice
from refimpl.tests.model.tiny import TINY_PATH
from refimpl.tests.oracle_device import OracleDevice
from refimpl.tests.service.harness import PATIENCE, running

TINY = ("run", "-m", str(TINY_PATH))


def bench(*words: str) -> int:
    return main(list(words), lambda threads: OracleDevice())


def test_flags_have_llama_bench_s_defaults() -> None:
    job = job_of(parser().parse_args(TINY))
    (setup,) = job.setups
    assert [trial.name for trial in job.trials] == ["pp512", "tg128"]
    assert (job.repetitions, job.warmup, job.rpc) == (5, True, ())
    assert (setup.batch, setup.ubatch, setup.gpu_layers) == (2048, 512, Layers.AUTO)
    assert (setup.type_k.name, setup.type_v.name, setup.flash) == ("F16", "F16", FlashAttention.AUTO)


def test_lists_and_repeated_flags_add_up() -> None:
    job = job_of(parser().parse_args([*TINY, "-p", "8,16", "-p", "0", "-n", "2", "-t", "1-2", "-fa", "on,off"]))
    assert [trial.name for trial in job.trials] == ["pp8", "pp16", "tg2"]
    assert [(s.threads, s.flash.value) for s in job.setups] == [(1, "on"), (1, "off"), (2, "on"), (2, "off")]


def test_a_run_answers_with_a_row_for_each_test(capsys: pytest.CaptureFixture[str]) -> None:
    assert bench(*TINY, "-p", "5", "-n", "2", "-r", "2", "-d", "0,3", "-oe", "jsonl") == 0
    said = capsys.readouterr()
    rows = [[cell.strip() for cell in line.split("|")] for line in said.out.splitlines()[2:]]
    assert [row[-3] for row in rows] == ["pp5", "tg2", "pp5 @ d3", "tg2 @ d3"]
    lines = [json.loads(line) for line in said.err.splitlines()]
    assert [(line["n_prompt"], line["n_gen"], line["n_depth"]) for line in lines] == [
        *((5, 0, 0), (0, 2, 0), (5, 0, 3), (0, 2, 3))
    ]
    assert all(len(line["samples_ns"]) == 2 and min(line["samples_ns"]) > 0 for line in lines)
    assert {line["backends"] for line in lines} == {"CPU"}


async def test_layers_run_on_the_nodes_that_rpc_names() -> None:
    outcomes: list[Outcome] = []
    nothing_local: list[FakeDevice] = []

    def local(threads: int) -> FakeDevice:
        nothing_local.append(OracleDevice())
        return nothing_local[-1]

    device = OracleDevice()
    async with running(device) as node:
        words = [*TINY, "-p", "300", "-n", "2", "-r", "1", "-ub", "256", "--no-warmup", "--rpc", node.endpoint]
        with trio.fail_after(6 * PATIENCE):
            await run_job(job_of(parser().parse_args(words)), local, outcomes.append)
    assert [outcome.loaded.backends for outcome in outcomes] == [("RPC",), ("RPC",)]
    assert nothing_local == []
    assert device.runs == 2 + 2, "two pieces of the prompt, two tokens"


def test_a_made_model_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(tmp_path / "m.gguf")
    sizes = {"--layers": "1", "--embd": "64", "--heads": "4", "--kv-heads": "2", "--ff": "96", "--vocab": "40"}
    shape = [word for pair in sizes.items() for word in pair]
    assert bench("make-model", "-o", path, *shape, "--untied", "--type", "Q4_0") == 0
    assert "Q4_0, 0.04 M parameters" in capsys.readouterr().out
    assert bench("run", "-m", path, "-p", "4", "-n", "0", "-r", "1", "-o", "jsonl") == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line)["model_type"].endswith("Q4_0")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run"], "-m FILE"),
        ([*TINY, "-p", "0", "-n", "0"], "nothing to measure"),
        ([*TINY, "-t", "0"], "-t 0"),
        ([*TINY, "-n", "1-"], "'1-'"),
        ([*TINY, "--bogus"], "--bogus"),
        ([*TINY, "-ctk", "q9"], "'q9'"),
        (["run", "-m", "nix.gguf"], "nix.gguf"),
        ([], "COMMAND"),
        (["make-model", "-o", "x", "--heads", "5"], "--heads"),
        (["make-model", "-o", "/nowhere/x.gguf"], "/nowhere"),
    ],
)
def test_what_cannot_be_used_is_one_line(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert bench(*words) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("refimpl-bench: ")
    assert said in line
