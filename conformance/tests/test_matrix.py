"""Which ways there are, and which sets of verdicts count as agreement."""

import itertools
from pathlib import Path

import attrs

from conformance.interop.matrix.cells import Cell, acceptable, draw
from conformance.interop.matrix.columns import COLUMNS, REFERENCE, Who
from conformance.interop.matrix.near_tie import Candidate, Parting
from conformance.interop.matrix.peers import Peers
from conformance.interop.processes import Server
from spec.load import load

TIE = Parting(6, Candidate(b" talented", -1.900), Candidate(b" brilliant", -1.904))
LATER_TIE = Parting(9, Candidate(b" a", -1.0), Candidate(b" the", -1.001))
GAP = Parting(6, Candidate(b" a", -1.0), Candidate(b" the", -1.5))


def cell(
    column: int, *, same: bool = True, text: str | None = "text", parting: Parting | None = None, reason: str = ""
) -> Cell:
    return Cell(COLUMNS[column], "prompt", 1.0, text, same, parting, reason)


def test_every_main_host_meets_all_kinds_of_servers_in_every_version() -> None:
    met = {(column.version, column.host, frozenset(column.servers)) for column in COLUMNS if column.servers}
    kinds = [frozenset({Who.OURS}), frozenset({Who.STOCK}), frozenset(Who)]
    assert met == set(itertools.product(load().versions, Who, kinds))


def test_columns_have_names_of_their_own_and_the_reference_comes_first() -> None:
    assert len({column.name for column in COLUMNS}) == len(COLUMNS)
    assert COLUMNS[0] is REFERENCE
    assert not REFERENCE.servers


def test_the_short_part_needs_the_earlier_version_alone() -> None:
    quick = [column for column in COLUMNS if column.quick]
    assert [(column.host, len(column.servers)) for column in quick] == [
        *((Who.STOCK, 0), (Who.OURS, 0), (Who.STOCK, 2), (Who.OURS, 2))
    ]
    assert {column.version for column in quick} == {REFERENCE.version}


def test_each_part_of_a_column_is_a_server_of_its_own() -> None:
    ours = tuple(Server(f"ours:{number}", "8.0.0", 0) for number in range(2))
    for column in COLUMNS:
        found = {Who.OURS: ours, Who.STOCK: (Server("stock:1", "8.0.0", 0),)}
        endpoints = Peers(column.version, stock=Path(), model=Path(), servers=found).endpoints(column)
        assert len(set(endpoints)) == len(column.servers)
        assert [endpoint.split(":")[0] for endpoint in endpoints] == [
            "ours" if who is Who.OURS else "stock" for who in column.servers
        ]


def test_equal_texts_agree() -> None:
    assert acceptable([cell(0), cell(1)])


def test_one_near_tie_of_a_prompt_is_accepted_in_several_columns() -> None:
    assert acceptable([cell(0), cell(1, same=False, parting=TIE), cell(2, same=False, parting=TIE)])


def test_two_near_ties_of_a_prompt_are_not() -> None:
    assert not acceptable([cell(0), cell(1, same=False, parting=TIE), cell(2, same=False, parting=LATER_TIE)])


def test_a_wider_gap_is_not() -> None:
    assert not acceptable([cell(0), cell(1, same=False, parting=GAP)])


def test_a_text_cut_short_is_not() -> None:
    assert not acceptable([cell(0), cell(1, same=False)])


def test_a_program_that_failed_is_not() -> None:
    assert not acceptable([cell(0), cell(1, same=False, text=None)])


def test_the_text_of_current_llama_is_taken_where_it_computes() -> None:
    assert {column.name for column in COLUMNS if column.computes_currently} == {
        "stock 8.0.0 host, local",
        "stock 8.0.0 host, stock server (8.0.0)",
        "stock 8.0.0 host, refimpl and stock server (8.0.0)",
        "refimpl host, stock server (8.0.0)",
        "refimpl host, refimpl and stock server (8.0.0)",
    }
    taken = attrs.evolve(cell(1, same=False), as_current=True)
    assert taken.verdict == "as stock 8.0.0"
    assert acceptable([cell(0), taken])


def test_nodes_of_two_builds_are_judged_by_whether_the_hosts_agree() -> None:
    assert {column.name for column in COLUMNS if column.mixes_builds} == {
        "stock 8.0.0 host, refimpl and stock server (8.0.0)",
        "refimpl host, refimpl and stock server (8.0.0)",
    }
    apart = cell(1, same=False, parting=GAP)
    assert not acceptable([cell(0), apart])
    together = attrs.evolve(apart, alike=True)
    assert together.verdict == "hosts alike"
    assert acceptable([cell(0), together])


def test_what_was_not_run_has_a_verdict_of_its_own_and_its_reason_below_the_table() -> None:
    absent = cell(2, same=False, text=None, reason="chroot needs root")
    assert absent.verdict == "not run"
    *_, row, reason = draw([cell(0), absent]).splitlines()
    assert "not run" in row
    assert reason == "not run: chroot needs root"


def test_the_table_has_a_row_per_column_and_its_verdicts() -> None:
    head, *rows = draw([cell(0), cell(1, same=False, parting=GAP)]).splitlines()
    assert head.split() == ["prompt"]
    assert [row.split()[-3] for row in rows] == ["same", "DIFFERENT"]
