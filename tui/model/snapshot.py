"""A fleet as plain values for JSON, and as lines of text. Pure.

Bytes are bytes, round trips milliseconds, ages seconds; null stands for what is not known. Keys may be added, none
changes its meaning.
"""

from typing import Any

from tui.model import words
from tui.model.events import Memory
from tui.model.fleet import Fleet
from tui.model.node import Node

__all__ = ["as_text", "as_values"]

TEXT_BAR = 10
HEADS = ("NODE", "PROTO", "DEV", "USED", "FREE/TOTAL", "RTT MS", "STATE")


def as_values(fleet: Fleet, now: float, time: str) -> dict[str, Any]:
    """Everything that is known; `time` is the wall clock, ISO 8601."""
    return {
        "time": time,
        "all_answered": fleet.all_answer(now),
        "nodes": [_node(node, now) for node in fleet.nodes.values()],
    }


def _node(node: Node, now: float) -> dict[str, Any]:
    return {
        "node": node.name,
        "state": node.state(now).value,
        "answered": node.answers(now),
        "detail": node.sentence(now),
        "version": None if node.version is None else words.version(node.version),
        "clients_at_a_time": None if node.serves is None else node.serves.value,
        "devices": [_device(device) for device in node.devices],
        "round_trip_ms": {"last": _ms(node.last_trip), "p50": _ms(node.median_trip)},
        "age_s": None if (age := node.age(now)) is None else round(age, 3),
    }


def _device(device: Memory) -> dict[str, int]:
    return {"free_bytes": device.free, "total_bytes": device.total}


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1e3, 3)


def as_text(fleet: Fleet, now: float) -> str:
    """A table without colours, and a line for every node that has not answered."""
    rows = [HEADS, *(_cells(node, now) for node in fleet.nodes.values())]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADS))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    lines += [f"{node.name}: {node.sentence(now)}" for node in fleet.nodes.values() if not node.answers(now)]
    return "\n".join(lines)


def _cells(node: Node, now: float) -> tuple[str, ...]:
    return (
        node.name,
        words.version(node.version),
        str(len(node.devices)) if node.devices else words.UNKNOWN,
        words.bar(node.total - node.free, node.total, TEXT_BAR),
        words.memory(node.free, node.total),
        words.milliseconds(node.last_trip),
        node.state(now).value,
    )
