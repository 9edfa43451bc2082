"""The table and the JSON are llama-bench's: columns, keys, units, mean and standard deviation."""

import json
from typing import Any

import attrs
import pytest

from refimpl.bench.llama.outcome import FORMATS, Loaded, Outcome
from refimpl.bench.llama.trials import Setup, Trial
from refimpl.host.command.options import FlashAttention, Layers
from spec.names import Type

SETUP = Setup(
    model="m.gguf",
    gpu_layers=Layers.AUTO,
    batch=2048,
    ubatch=512,
    type_k=Type.F16,
    type_v=Type.F16,
    threads=2,
    flash=FlashAttention.AUTO,
)
LOADED = Loaded("llama 135M Q4_1", 96576768, 134515008, ("CPU",), ())
OUTCOME = Outcome(SETUP, Trial(512, 0), LOADED, "2026-01-02T03:04:05Z", (256_000_000, 512_000_000))


def test_the_table_has_llama_bench_s_columns_and_units() -> None:
    head, ruler, row = FORMATS["md"]([OUTCOME]).splitlines()
    cells = [cell.strip() for cell in head.strip("|").split("|")]
    assert cells == ["model", "size", "params", "backend", "threads", "test", "t/s"]
    assert ruler == (
        "| ------------------------------ | ---------: | ---------: | ---------- | ------: | --------------: "
        "| -------------------: |"
    )
    assert [cell.strip() for cell in row.strip("|").split("|")] == [
        *("llama 135M Q4_1", "92.10 MiB", "134.52 M", "CPU", "2", "pp512", "1500.00 ± 707.11")
    ]
    assert len(head) == len(ruler) == len(row)


@pytest.mark.parametrize(
    ("change", "head", "values"),
    [
        ({"ubatch": 128}, "n_ubatch", ["512", "128"]),
        ({"type_k": Type.Q8_0}, "type_k", ["f16", "q8_0"]),
        ({"gpu_layers": 7}, "ngl", ["auto", "7"]),
        ({"flash": FlashAttention.OFF}, "fa", ["auto", "off"]),
    ],
)
def test_a_setting_is_shown_where_it_varies(change: dict[str, Any], head: str, values: list[str]) -> None:
    other = attrs.evolve(OUTCOME, setup=attrs.evolve(SETUP, **change))
    rows = [line.strip("|").split("|") for line in FORMATS["md"]([OUTCOME, other]).splitlines()]
    at = [cell.strip() for cell in rows[0]].index(head)
    assert [row[at].strip() for row in rows[2:]] == values


def test_large_models_are_shown_in_gib_and_billions() -> None:
    large = attrs.evolve(LOADED, nbytes=5 << 30, n_params=8_030_000_000)
    table = FORMATS["md"]([attrs.evolve(OUTCOME, loaded=large)])
    assert "5.00 GiB" in table
    assert "8.03 B" in table


def test_a_json_line_is_one_object_with_times_in_ns() -> None:
    first, second = map(json.loads, FORMATS["jsonl"]([OUTCOME, OUTCOME]).splitlines())
    assert first == second == json.loads(FORMATS["json"]([OUTCOME]))[0]
    assert (first["n_prompt"], first["n_gen"], first["n_threads"], first["type_k"]) == (512, 0, 2, "f16")
    assert (first["avg_ns"], first["samples_ns"]) == (384_000_000, [256_000_000, 512_000_000])
    assert (first["avg_ts"], first["samples_ts"]) == (1500.0, [2000.0, 1000.0])


def test_one_repetition_has_no_deviation() -> None:
    once = attrs.evolve(OUTCOME, samples_ns=(256_000_000,))
    assert once.as_json()["stddev_ts"] == 0.0
    assert "2000.00 ± 0.00" in FORMATS["md"]([once])
