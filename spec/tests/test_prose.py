"""The prose read as clauses."""

from spec.load import load
from spec.prose import clauses, clauses_in

EXAMPLE = """# Title

**FRAME-1** (MUST) A rule
over two lines.

Words between, **FRAME-9** (MUST) not at the beginning.

**GRAPH-25** (SHOULD, since 8.0.0) New.

**GRAPH-22** (MAY, until 8.0.0) Old.
**OP-MUL_MAT** (MUST) not a paragraph of its own.
"""


def test_a_clause_is_a_paragraph_that_begins_with_its_id() -> None:
    found = list(clauses_in("x.md", EXAMPLE))
    assert [(clause.id, clause.family, clause.level) for clause in found] == [
        ("FRAME-1", "FRAME", "MUST"),
        ("GRAPH-25", "GRAPH", "SHOULD"),
        ("GRAPH-22", "GRAPH", "MAY"),
    ]
    assert found[0].text == "A rule over two lines."


def test_a_clause_holds_within_its_bounds() -> None:
    _, new, old = clauses_in("x.md", EXAMPLE)
    assert [new.holds((7, 0, 0)), new.holds((8, 0, 0))] == [False, True]
    assert [old.holds((7, 0, 0)), old.holds((8, 0, 0))] == [True, False]


def test_every_op_has_a_clause() -> None:
    assert {f"OP-{op.name}" for op in load().dialect(load().newest).ops} <= set(clauses())


def test_functions_of_the_clients_process_are_refused_in_words() -> None:
    for op in ("MAP_CUSTOM1", "MAP_CUSTOM2", "MAP_CUSTOM3", "CUSTOM"):
        assert clauses()[f"OP-{op}"].text.startswith("Never accepted")
