"""What the loader makes of the data: offsets, versions, and refusals."""

import pytest

from spec.load import SpecError, UnknownDialect, load, read
from spec.tests.data_files import changed, originals
from spec.tests.older_ops import OLDER_OPS


def offsets(version: str, struct: str) -> dict[str, int]:
    return {field.name: field.offset for field in load().at(version).structs[struct].fields}


def test_tensor_record_has_the_known_offsets() -> None:
    assert offsets("7.0.0", "rpc_tensor") == {
        "id": 0,
        "type": 8,
        "buffer": 12,
        "ne": 20,
        "nb": 36,
        "op": 52,
        "op_params": 56,
        "flags": 120,
        "src": 124,
        "view_src": 204,
        "view_offs": 212,
        "data": 220,
        "name": 228,
        "use_count": 292,
    }


def test_cache_flag_moves_the_offset_from_7_0_0_on() -> None:
    assert offsets("6.0.0", "set_tensor_req") == {"tensor": 0, "offset": 296}
    assert offsets("7.0.0", "set_tensor_req") == {"tensor": 0, "cache_flag": 296, "offset": 297}


def test_graph_uid_exists_from_8_0_0_on() -> None:
    assert offsets("7.0.0", "graph_compute_req") == {"device": 0, "n_nodes": 4}
    assert offsets("8.0.0", "graph_compute_req") == {"device": 0, "uid": 4, "n_nodes": 12}
    assert offsets("8.0.0", "graph_recompute_req") == {"device": 0, "uid": 4}


def test_padding_became_use_count_without_moving_anything() -> None:
    assert "padding" in offsets("5.0.0", "rpc_tensor")
    assert "use_count" in offsets("5.1.0", "rpc_tensor")
    assert {load().at(version).structs["rpc_tensor"].size for version in ("4.0.0", "5.0.0", "5.1.0", "8.0.0")} == {296}


@pytest.mark.parametrize("version", OLDER_OPS)
def test_ops_of_older_versions_are_numbered_by_what_they_had(version: str) -> None:
    assert tuple(op.name for op in load().at(version).ops) == OLDER_OPS[version]
    assert [op.number for op in load().at(version).ops] == list(range(len(OLDER_OPS[version])))


def test_an_op_inserted_later_moves_those_after_it() -> None:
    older, newer = load().at("4.0.1"), load().dialect("7.0.0")
    assert {op.name for op in newer.ops} - {op.name for op in older.ops} == {
        "LIGHTNING_INDEXER",
        "DSV4_HC_COMB",
        "DSV4_HC_PRE",
        "DSV4_HC_POST",
    }
    assert (older.op("GATED_DELTA_NET").number, newer.op("GATED_DELTA_NET").number) == (86, 86)
    assert (older.op("UNARY").number, newer.op("UNARY").number) == (87, 91)


def test_replies_come_and_go_by_version() -> None:
    assert load().at("5.1.0").command("FREE_BUFFER").reply == "empty"
    assert load().at("6.0.0").command("FREE_BUFFER").reply is None
    assert not load().dialect("7.0.0").command("SET_TENSOR").answered


def test_commands_come_by_version() -> None:
    assert max(load().at("4.0.3").commands) == 16
    assert max(load().dialect("7.0.0").commands) == 17
    assert max(load().dialect("8.0.0").commands) == 22


def test_types_come_by_version() -> None:
    assert 42 not in load().at("4.0.0").types
    assert load().at("4.0.1").types[42].name == "Q2_0"


def test_hello_is_the_only_way_out_of_greeting() -> None:
    after = load().dialect("7.0.0").transitions()
    assert {pair: then for pair, then in after.items() if pair[0] == "greeting"} == {("greeting", "HELLO"): "open"}
    assert ("open", "HELLO") not in after
    assert {then for (phase, _), then in after.items() if phase == "open"} == {"open"}


def test_a_dialect_is_worked_out_once() -> None:
    assert load().dialect("7.0.0") is load().dialect("7.0.0")


@pytest.mark.parametrize("version", ["6.0.0", "9.0.0"])
def test_versions_without_a_description_are_refused_by_name(version: str) -> None:
    with pytest.raises(UnknownDialect, match=r"known: 7\.0\.0, 8\.0\.0"):
        load().dialect(version)


def test_versions_before_the_data_begins_are_refused() -> None:
    with pytest.raises(UnknownDialect, match=r"begins with 4\.0\.0"):
        load().at("3.6.1")


@pytest.mark.parametrize("version", ["7", "7.0", "7.0.x", ""])
def test_texts_that_are_no_version_are_refused(version: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  int() words it for the third
        load().at(version)


@pytest.mark.parametrize(
    ("file", "old", "new", "words"),
    [
        ("commands", 'request = "alloc_buffer_req"', 'reqest = "alloc_buffer_req"', "reqest"),
        ("structs", 'unit = "handle"', 'units = "handle"', "units"),
        ("ops", "slot = 0", 'slot = "0"', "expected int"),
        ("ops", "in_place = true", "in_place = 1", "expected bool"),
        ("types", "block = 1", "block = 1.0", "expected int"),
        ("types", 'name = "F32"\n', "", "name"),
        ("dialects", "[[dialect]]", "[[dialekt]]", "dialekt"),
        ("dialects", "[[dialect]]", "[[dialect", "dialects.toml"),
        ("commands", "[[command]]\nnumber = 0", "[[phase]]\nnumber = 0", "another file"),
    ],
)
def test_data_outside_the_schema_is_refused(file: str, old: str, new: str, words: str) -> None:
    with pytest.raises(SpecError, match=words):
        read(changed(file, old, new))


def test_a_field_of_unknown_type_is_refused_with_its_name() -> None:
    spec = read(changed("structs", 'name = "buffer", type = "u64"', 'name = "buffer", type = "u65"'))
    with pytest.raises(SpecError, match=r"rpc_tensor\.buffer.*u65"):
        spec.dialect("7.0.0")


def test_two_replies_at_once_are_refused() -> None:
    spec = read(
        changed("commands", '{ kind = "alloc_buffer_rsp" }', '{ kind = "alloc_buffer_rsp" }, { kind = "empty" }')
    )
    with pytest.raises(SpecError, match="ALLOC_BUFFER has 2 replies"):
        spec.dialect("7.0.0")


@pytest.mark.parametrize(("file", "kind"), [("commands", "command"), ("types", "type")])
def test_a_number_that_is_used_twice_is_refused(file: str, kind: str) -> None:
    spec = read(changed(file, "number = 0", "number = 1"))
    with pytest.raises(SpecError, match=f"{file}.toml: two {kind}s have the number 1"):
        spec.dialect("7.0.0")


def test_unchanged_files_read_as_what_is_loaded() -> None:
    assert read(originals()).dialect("8.0.0") == load().dialect("8.0.0")
