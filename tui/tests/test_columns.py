"""Cells: what fits, and numbers as words."""

import pytest

from tui.model import words
from tui.model.columns import NARROWEST, columns
from tui.model.events import Memory, Reading, Served, Serves
from tui.model.node import Node

GIB = 1 << 30


@pytest.mark.parametrize("width", range(NARROWEST, 260))
def test_columns_fit_the_width_and_use_it(width: int) -> None:
    chosen = columns(width)
    used = sum(column.width for column in chosen) + len(chosen) - 1
    assert width - 35 < used <= width
    assert [column.key for column in chosen][:9] == [
        "node", "proto", "devices", "used", "memory", "last", "p50", "state", "age",
    ]  # fmt: skip


def test_a_wide_table_says_more() -> None:
    keys = {column.key for column in columns(199)}
    assert {"serves", "sentence"} <= keys
    assert not {"serves", "sentence"} & {column.key for column in columns(79)}


@pytest.mark.parametrize("width", [NARROWEST, 120, 200])
def test_every_cell_has_the_width_of_its_column(width: int) -> None:
    name = "a-node-with-a-long-name.example.org:50052"
    known = Node(name).after(Reading(name, 0.0, (8, 0, 0), (Memory(1023 * GIB, 1024 * GIB),), 123.456))
    for node in (Node(name), known, known.after(Served(name, 1.0, Serves.ONE))):
        assert all(len(column.text(node, 1e7)) == column.width for column in columns(width))


def test_numbers_are_not_cut_at_80_columns() -> None:
    known = Node("a:1").after(Reading("a:1", 0.0, (8, 0, 0), (Memory(9999 * GIB, 9999 * GIB),), 99.9994))
    cells = {column.key: column.text(known, 59.0).strip() for column in columns(NARROWEST)}
    assert cells["memory"] == "9999/9999G"
    assert cells["last"] == "99999"
    assert cells["state"] == "slow"
    assert cells["age"] == "59s"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "-"), (0.0, "0s"), (59.99, "59s"), (60, "1m"), (3599, "59m"), (3600, "1h"), (86399, "23h"), (86400, "1d")],
)
def test_age_takes_the_largest_whole_unit(seconds: float | None, text: str) -> None:
    assert words.age(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"),
        (0.0, "0.00"),
        (0.000123, "0.12"),
        (0.000996, "1.0"),
        (0.0999, "99.9"),
        (0.09996, "100"),
        (2.5, "2500"),
    ],
)
def test_milliseconds_keep_about_three_digits(seconds: float | None, text: str) -> None:
    assert words.milliseconds(seconds) == text


def test_a_bar_is_full_only_when_all_is_used() -> None:
    assert words.bar(0, 100, 10) == "··········"
    assert words.bar(100, 100, 10) == "██████████"
    assert words.bar(50, 100, 10) == "█████·····"
    assert words.bar((1 << 64) - 2, (1 << 64) - 1, 10) == "█████████▉"
    assert words.bar(0, 0, 4) == "    "


@pytest.mark.parametrize("used", range(0, 101, 7))
def test_a_bar_has_its_width(used: int) -> None:
    assert len(words.bar(used, 100, 13)) == 13


def test_a_device_without_memory_is_no_division() -> None:
    assert "does not say" in words.device_line(0, Memory(0, 0))
    assert words.device_line(1, Memory(GIB, 4 * GIB)) == "device 1: 1.0 of 4.0 GiB free, 75% in use"
