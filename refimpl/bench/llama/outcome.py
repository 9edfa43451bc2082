"""What was measured, and how llama-bench shows it: a markdown table for people, JSON for programs. Pure.

The table has a column for a setting only where it differs from its default or takes several values; speeds are mean and
standard deviation in tokens per second. JSON uses llama-bench's keys where they exist; times are in ns, speeds in
tokens/s.
"""

import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs

from refimpl.bench.llama.trials import Setup, Trial
from refimpl.host.command.options import FlashAttention, Layers
from spec.names import Type

__all__ = ["FORMATS", "Loaded", "Outcome"]

GIB, MIB = 1 << 30, 1 << 20
BILLION, MILLION = 1e9, 1e6
NS = 1e9


@attrs.frozen
class Loaded:
    """The model at work: `backends` are CPU (this machine) and RPC, those of them that have layers."""

    kind: str
    nbytes: int
    n_params: int
    backends: tuple[str, ...]
    nodes: tuple[str, ...]


@attrs.frozen
class Outcome:
    """One test, repeated: `samples_ns` has one duration for each repetition, `begun` is UTC."""

    setup: Setup
    trial: Trial
    loaded: Loaded
    begun: str
    samples_ns: tuple[int, ...]

    @property
    def speeds(self) -> list[float]:
        """Tokens per second of each repetition."""
        return [self.trial.tokens * NS / sample for sample in self.samples_ns]

    def as_json(self) -> dict[str, Any]:
        """One object, llama-bench's keys."""
        setup, speeds, layers = self.setup, self.speeds, self.setup.gpu_layers
        return {
            "engine": "refimpl",
            "backends": ",".join(self.loaded.backends),
            "rpc_servers": list(self.loaded.nodes),
            "model_filename": setup.model,
            "model_type": self.loaded.kind,
            "model_size": self.loaded.nbytes,
            "model_n_params": self.loaded.n_params,
            "n_batch": setup.batch,
            "n_ubatch": setup.ubatch,
            "n_threads": setup.threads,
            "type_k": setup.type_k.name.lower(),
            "type_v": setup.type_v.name.lower(),
            "n_gpu_layers": layers.value if isinstance(layers, Layers) else layers,
            "flash_attn": setup.flash.value,
            "n_prompt": self.trial.n_prompt,
            "n_gen": self.trial.n_gen,
            "n_depth": self.trial.depth,
            "test_time": self.begun,
            "avg_ns": round(statistics.mean(self.samples_ns)),
            "stddev_ns": round(_deviation(self.samples_ns)),
            "avg_ts": round(statistics.mean(speeds), 6),
            "stddev_ts": round(_deviation(speeds), 6),
            "samples_ns": list(self.samples_ns),
            "samples_ts": [round(speed, 6) for speed in speeds],
        }


def _deviation(values: Sequence[float]) -> float:
    return statistics.stdev(values) if len(values) > 1 else 0.0


@attrs.frozen
class _Column:
    head: str
    width: int
    value: Callable[[Outcome], str]
    default: str | None = None
    """shown only where some value differs from it; None: always"""


def _layers(outcome: Outcome) -> str:
    layers = outcome.setup.gpu_layers
    return layers.value if isinstance(layers, Layers) else str(layers)


COLUMNS = (
    _Column("model", 30, lambda o: o.loaded.kind),
    _Column("size", 10, lambda o: _scaled(o.loaded.nbytes, (GIB, "GiB"), (MIB, "MiB"))),
    _Column("params", 10, lambda o: _scaled(o.loaded.n_params, (BILLION, "B"), (MILLION, "M"))),
    _Column("backend", 10, lambda o: ",".join(o.loaded.backends)),
    _Column("ngl", 4, _layers, Layers.AUTO.value),
    _Column("threads", 7, lambda o: str(o.setup.threads)),
    _Column("n_batch", 7, lambda o: str(o.setup.batch), "2048"),
    _Column("n_ubatch", 8, lambda o: str(o.setup.ubatch), "512"),
    _Column("type_k", 6, lambda o: o.setup.type_k.name.lower(), Type.F16.name.lower()),
    _Column("type_v", 6, lambda o: o.setup.type_v.name.lower(), Type.F16.name.lower()),
    _Column("fa", 4, lambda o: o.setup.flash.value, FlashAttention.AUTO.value),
    _Column("test", 15, lambda o: o.trial.name),
    _Column("t/s", 20, lambda o: f"{statistics.mean(o.speeds):.2f} ± {_deviation(o.speeds):.2f}"),
)
LEFT = ("model", "backend")


def _scaled(value: float, large: tuple[float, str], small: tuple[float, str]) -> str:
    factor, unit = large if value >= large[0] else small
    return f"{value / factor:.2f} {unit}"


def _markdown(outcomes: Sequence[Outcome]) -> str:
    shown = [c for c in COLUMNS if c.default is None or {c.value(o) for o in outcomes} - {c.default}]
    rows = [[column.head for column in shown], *([column.value(o) for column in shown] for o in outcomes)]
    widths = [max(column.width, *(len(row[at]) for row in rows)) for at, column in enumerate(shown)]

    def line(cells: Sequence[str]) -> str:
        padded = [
            cell.ljust(width) if column.head in LEFT else cell.rjust(width)
            for cell, width, column in zip(cells, widths, shown, strict=True)
        ]
        return f"| {' | '.join(padded)} |"

    ruler = ["-" * w if c.head in LEFT else "-" * (w - 1) + ":" for w, c in zip(widths, shown, strict=True)]
    return "\n".join([line(rows[0]), line(ruler), *map(line, rows[1:])])


def _json(outcomes: Sequence[Outcome]) -> str:
    return json.dumps([outcome.as_json() for outcome in outcomes], indent=2)


def _json_lines(outcomes: Sequence[Outcome]) -> str:
    return "\n".join(json.dumps(outcome.as_json()) for outcome in outcomes)


FORMATS: Mapping[str, Callable[[Sequence[Outcome]], str]] = {"md": _markdown, "json": _json, "jsonl": _json_lines}
"""values of -o"""
