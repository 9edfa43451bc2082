"""How what stock's test programs print is read, what is left out, and which outcomes count as a pass."""

import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import trio
import trio.testing
from gguf import GGUFReader

from conformance.interop.processes import ProcessFailed
from conformance.upstream import __main__ as program
from conformance.upstream import families, perplexity
from conformance.upstream.cases import Case, Outcome, Verdict, Without, chunks, listed, pattern_without, verdicts
from conformance.upstream.families import Agreement, rows
from conformance.upstream.left_out import LEFT_OUT, OPS
from conformance.upstream.models import MODELS, RANDOM, write_random_llama
from conformance.upstream.node_log import SILENT, reason_since
from conformance.upstream.perplexity import Comparison, estimate
from conformance.upstream.programs import NODE
from conformance.upstream.suite import Report, Run, run_op

LISTING = """"backend_name","op_name","op_params","test_mode","supported","error_message","backend_reg_name"
"CPU","ADD","type=f16,ne=[1,1,8,1]","support","1","yes","CPU"
"CPU","ADD","type=f32,ne=[1,1,8,1]","support","1","yes","CPU"
"CPU","ADD","type=f32,ne=[1,1,8,1]","support","1","yes","CPU"
"CPU","ADD","type=bf16,ne=[2,1,8,1]","support","1","yes","CPU"
"""
F16, F32, BF16 = (
    Case("ADD", "type=f16,ne=[1,1,8,1]"),
    Case("ADD", "type=f32,ne=[1,1,8,1]"),
    Case("ADD", "type=bf16,ne=[2,1,8,1]"),
)
OK, FAIL = "\x1b[1;32mOK\x1b[0m", "\x1b[1;31mFAIL\x1b[0m"
PRINTED = f"""Testing 2 devices

Backend 1/2: RPC0
  Device description: 127.0.0.1:50052
  {F16}: {OK}
[ADD] ERR = 0.5 > 0.1   {F32}: {FAIL}
  {BF16}: not supported [CPU]
  1/2 tests passed
"""
NO_BF16 = Without("^type=bf16", "a reason")


def test_cases_are_listed_once_and_in_order() -> None:
    assert listed(LISTING) == [F16, F32, BF16]


def test_a_verdict_is_read_with_what_was_said_before_it() -> None:
    assert verdicts(PRINTED) == [
        Outcome(F16, Verdict.PASSED),
        Outcome(F32, Verdict.FAILED, "[ADD] ERR = 0.5 > 0.1"),
        Outcome(BF16, Verdict.NOT_SUPPORTED),
    ]


def test_a_line_that_was_cut_has_no_verdict() -> None:
    assert verdicts(f"  {F16}: ") == []


def test_the_filter_keeps_exactly_the_cases_that_are_not_left_out() -> None:
    left_out = (NO_BF16, Without("ne=\\[1,1,8", "another"))
    kept = [case for case in (F16, F32, BF16, Case("ADD", "type=i32")) if not any(one.covers(case) for one in left_out)]
    pattern = re.compile(pattern_without(left_out))
    assert kept == [case for case in (F16, F32, BF16, Case("ADD", "type=i32")) if pattern.search(case.params)]
    assert kept == [Case("ADD", "type=i32")]


def test_chunks_hold_every_case_once_and_no_more_than_there_is_room_for() -> None:
    cases = [Case("ADD", "x" * length) for length in (5, 5, 40, 5, 5, 5)]
    pieces = chunks(cases, 30)
    assert [case for piece in pieces for case in piece] == cases
    assert all(len(piece) == 1 or len(",".join(map(str, piece))) <= 30 for piece in pieces)
    assert [len(piece) for piece in pieces] == [2, 1, 2, 1]


def test_what_is_left_out_belongs_to_ops_that_are_run_and_has_a_reason() -> None:
    assert set(LEFT_OUT) <= set(OPS)
    assert len(set(OPS)) == len(OPS)
    for each in (each for row in LEFT_OUT.values() for each in row):
        re.compile(each.pattern)
        assert each.reason


def report(*verdicts: Verdict) -> Report:
    return Report("ADD", [Outcome(F32, verdict, "said") for verdict in verdicts], [(NO_BF16, 7)])


@pytest.mark.parametrize("verdict", [Verdict.FAILED, Verdict.REFUSED])
def test_one_bad_case_is_enough(verdict: Verdict) -> None:
    assert report(Verdict.PASSED, Verdict.NOT_SUPPORTED).good
    assert not report(Verdict.PASSED, verdict).good


def test_an_op_of_which_nothing_ran_did_not_pass() -> None:
    assert not report().good
    assert not report(Verdict.NOT_SUPPORTED).good


def test_the_table_counts_every_verdict_and_says_why_cases_were_left_out() -> None:
    table = program.draw([report(Verdict.PASSED, Verdict.REFUSED, Verdict.PASSED)])
    row = next(line for line in table.splitlines() if line.startswith("ADD"))
    assert row.split() == ["ADD", "2", "0", "1", "0", "7"]
    assert "left out 7: a reason" in table


STAND_IN = """#!{python}
import os, re, sys
mode, arguments = sys.argv[1], dict(zip(sys.argv[2::2], sys.argv[3::2]))
if mode == "support":
    sys.stdout.write({listing!r})
    sys.exit()
asked = arguments["-o"]
for params in ("type=f16,ne=[1,1,8,1]", "type=f32,ne=[1,1,8,1]", "type=bf16,ne=[2,1,8,1]"):
    name = f"ADD({{params}})"
    if (asked != "ADD" and name not in asked) or not re.search(arguments.get("-p", ""), params):
        continue
    if name == {refused!r}:
        open({log!r}, "a").write("127.0.0.1:1: refused: OP-ADD: no\\n")
        os.abort()
    print(f"  {{name}}: OK", flush=True)
sys.exit({code})
"""


def stand_in(folder: Path, refused: str = "", code: int = 0) -> Run:
    """A program in the place of test-backend-ops that ends at the case `refused`."""
    path, log = folder / "test-backend-ops", folder / "node.log"
    log.touch()
    path.write_text(
        STAND_IN.format(python=sys.executable, listing=LISTING, refused=refused, log=str(log), code=code), "utf-8"
    )
    path.chmod(0o755)
    return Run(path, Path("/dev/null"), "127.0.0.1:1", log, folder)


@pytest.mark.parametrize("refused", [F16, F32, BF16])
async def test_cases_behind_a_refused_one_are_run_too(refused: Case, tmp_path: Path) -> None:
    outcomes = (await run_op(stand_in(tmp_path, str(refused)), "ADD", ())).outcomes
    assert {outcome.case: outcome.verdict for outcome in outcomes} == {
        case: Verdict.REFUSED if case == refused else Verdict.PASSED for case in (F16, F32, BF16)
    }
    (said,) = [outcome.said for outcome in outcomes if outcome.case == refused]
    assert said == "OP-ADD: no"


async def test_what_is_left_out_is_not_run_but_counted(tmp_path: Path) -> None:
    result = await run_op(stand_in(tmp_path, str(BF16)), "ADD", (NO_BF16,))
    assert [outcome.case for outcome in result.outcomes] == [F16, F32]
    assert result.good
    assert result.left_out == [(NO_BF16, 1)]


async def test_an_op_without_cases_is_an_error(tmp_path: Path) -> None:
    run = stand_in(tmp_path)
    run.program.write_text(f"#!{sys.executable}\nprint({LISTING.splitlines()[0]!r})\n", "utf-8")
    with pytest.raises(ProcessFailed, match="no such op"):
        await run_op(run, "NOTHING", ())


async def test_a_node_that_is_gone_is_no_verdict(tmp_path: Path) -> None:
    with pytest.raises(ProcessFailed, match="does not answer"):
        await run_op(stand_in(tmp_path, code=3), "ADD", ())


async def test_a_refusal_is_waited_for_and_an_older_one_is_not_taken(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    log = tmp_path / "log"
    log.write_text("refused: an older one\n", "utf-8")
    size = log.stat().st_size
    assert await reason_since(log, size) == SILENT

    async def write_later() -> None:
        await trio.sleep(1)
        with log.open("a") as lines:
            lines.write("127.0.0.1:9: refused: GRAPH-19: no kernel\n")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(write_later)
        assert await reason_since(log, size) == "GRAPH-19: no kernel"


TABLE = f"""|     Model arch.|         Device|Config|   NMSE vs. CPU|Roundtrip|    Mixed batch|
|----------------|---------------|------|---------------|---------|---------------|
|        qwen2moe|127.0.0.1:50772|   MoE|  {OK} (1.83e-14)|       {OK}|  {OK} (4.48e-09)|
|           llama|127.0.0.1:50772| Dense|  {OK} (1e-14)|       {FAIL}|  {OK} (4.48e-09)|
|           llama|127.0.0.1:50772|   MoE|  {FAIL} (1e-2)|       {OK}|  {OK} (4.48e-09)|
|         gpt-oss|127.0.0.1:50772|   MoE|"""


def test_rows_of_the_table_of_families_are_read_and_a_cut_one_is_none() -> None:
    assert [(each.model, each.good) for each in rows(TABLE)] == [
        ("qwen2moe MoE", True),
        ("llama Dense", False),
        ("llama MoE", False),
    ]


@pytest.mark.parametrize(("goods", "code"), [((True, True), 0), ((True, False), 1)])
def test_one_family_that_differs_is_enough(
    goods: Sequence[bool], code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def judge(*_: object) -> list[Agreement]:
        return [Agreement("llama", good, "said") for good in goods]

    monkeypatch.setattr(families, "_judge", judge)
    assert families.main(["--logs", str(tmp_path)]) == code


def test_perplexities_are_near_within_a_thousandth() -> None:
    model = MODELS[0]
    assert Comparison(model, 10.0, 10.0099).verdict == "within 0.1 %"
    assert Comparison(model, 10.0, 10.0101).verdict == "DIFFERENT"
    assert Comparison(model, 10.0, 9.9899).verdict == "DIFFERENT"
    assert Comparison(model, reason="no kernel").verdict == "not run"


def test_the_final_estimate_is_read_and_a_missing_one_is_none() -> None:
    assert estimate("[1]31.09,[2]23.59,\n0.11 I Final estimate: PPL = 12.8731 +/- 1.21630\n") == 12.8731
    assert estimate("[1]31.09,[2]23.59,") is None


@pytest.mark.parametrize(
    ("made", "code"),
    [
        ([Comparison(MODELS[0], 10.0, 10.0)], 0),
        ([Comparison(MODELS[0], 10.0, 11.0), Comparison(MODELS[1], reason="no")], 1),
        ([Comparison(MODELS[0], 10.0, 10.0), Comparison(MODELS[1], reason="no kernel")], 2),
    ],
)
def test_not_run_is_no_success(
    made: list[Comparison],
    code: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    async def compare(*_: object) -> list[Comparison]:
        return made

    monkeypatch.setattr(perplexity, "_compare", compare)
    assert perplexity.main(["--logs", str(tmp_path)]) == code
    assert ("not run: no kernel" in capsys.readouterr().out) == (code == 2)


def test_random_llamas_have_rows_that_k_quants_divide_and_are_the_same_each_time(tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("one.gguf", "two.gguf")]
    for file in files:
        write_random_llama(file)
    assert files[0].read_bytes() == files[1].read_bytes()
    matrices = [tensor for tensor in GGUFReader(files[0]).tensors if len(tensor.shape) == 2]
    assert matrices
    assert all(tensor.shape[0] % 256 == 0 for tensor in matrices)
    assert any(model.source == RANDOM for model in MODELS)


@pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")
def test_the_preloaded_library_is_c_that_the_compiler_takes_without_a_warning(tmp_path: Path) -> None:
    compiler = ["cc", "-std=c11", "-Wall", "-Wextra", "-Werror", "-fPIC", "-c", str(NODE), "-o", str(tmp_path / "o")]
    subprocess.run(compiler, check=True)
