"""What is wrong with malformed nodes is wrong by the words of spec/data, and nothing else is wrong with them."""

import pytest

from conformance.cases.graph.malformed.extents import BY_HAND, RESULT, Rules, Wrong, wrong_extents
from conformance.cases.graph.malformed.parameters import WRONG
from conformance.cases.graph.malformed.sound import SOUND
from conformance.cases.graph.placed import Placed
from conformance.cases.talk import Buffer
from conformance.judge.codec import Codec
from spec.dialect import OpDef
from spec.load import load

DIALECT = load().dialect(load().newest)
CODEC = Codec(DIALECT)
NOWHERE = Buffer(handle=1, size=0, base=1 << 20)
FREE = ("any", "as sent", "operand of", "as in", "[n0 + before", "at least n_dims", "extents of x of IM2COL")
"""what leaves a tensor's extents to the client, or is put in words that nothing is asked about"""


def op(name: str) -> OpDef:
    return DIALECT.op(name)


def wrong(name: str) -> set[str]:
    return {str(each) for each in wrong_extents(op(name), SOUND[name])}


def test_every_op_that_executes_has_a_sound_graph() -> None:
    assert {each.name for each in DIALECT.ops if each.executes and not each.never_accepted} == SOUND.keys()


@pytest.mark.parametrize("name", SOUND)
def test_a_sound_graph_has_an_operand_in_every_slot_and_parameters_of_the_op(name: str) -> None:
    required = [each for each in op(name).operands if not each.optional]
    assert len(SOUND[name].operands) >= len(required)
    assert SOUND[name].params.keys() <= {param.name for param in op(name).params}
    assert Placed(CODEC, SOUND[name].graph(), NOWHERE).message()


@pytest.mark.parametrize("name", SOUND)
def test_letters_stand_for_one_number_each_in_a_sound_graph(name: str) -> None:
    found: dict[str, set[int]] = {}
    for field in Rules.of(op(name), SOUND[name]).letters():
        found.setdefault(field.text, set()).add(field.extent)
    assert {letter: values for letter, values in found.items() if len(values) > 1} == {}


@pytest.mark.parametrize("name", SOUND)
def test_a_rule_about_extents_is_understood_or_says_that_they_are_free(name: str) -> None:
    rules = Rules.of(op(name), SOUND[name])
    asked = {each.tensor for each in wrong_extents(op(name), SOUND[name])}
    mute = [text for tensor, text in rules.texts.items() if tensor not in asked and not any(w in text for w in FREE)]
    assert [text for text in mute if not is_of_letters_of_its_own(rules, text)] == []


def is_of_letters_of_its_own(rules: Rules, text: str) -> bool:
    """Whether every extent is a letter that stands nowhere else."""
    name = next(name for name, each in rules.texts.items() if each == text)
    letters = [field.text for field in rules.letters()]
    return bool(rules.fields(name)) and all(letters.count(field.text) == 1 for field in rules.fields(name))


@pytest.mark.parametrize("name", SOUND)
def test_a_wrong_extent_differs_from_the_sound_one(name: str) -> None:
    extents = Rules.of(op(name), SOUND[name]).extents
    assert all(each.extent >= 0 for each in wrong_extents(op(name), SOUND[name]))
    assert all(each.extent != extents[each.tensor][each.dimension] for each in wrong_extents(op(name), SOUND[name]))


def test_extents_of_another_operand_are_all_determined() -> None:
    assert {each for each in wrong("SILU_BACK") if each.startswith("x ")} == {
        f"x with ne[{at}] = {extent}" for at, extent in ((0, 5), (0, 7), (1, 3), (1, 5), (2, 1), (2, 3), (3, 2))
    }


def test_a_letter_that_stands_once_is_free() -> None:
    assert not {each for each in wrong("GET_ROWS") if each.startswith("x with ne[1]")}


def test_a_divisor_is_wrong_only_where_it_does_not_divide() -> None:
    assert {each for each in wrong("MUL_MAT") if each.startswith("w with ne[2]")} == {"w with ne[2] = 5"}
    assert {each for each in wrong("ADD") if each.startswith("b ")} == {
        f"b with ne[{at}] = {extent}" for at, extent in enumerate((7, 5, 3, 4))
    }


def test_an_extent_that_follows_from_others_is_determined_by_them() -> None:
    assert {"the result with ne[1] = 11", "the result with ne[1] = 13"} <= wrong("RWKV_WKV6")
    assert {"x with ne[0] = 5", "x with ne[0] = 7"} <= wrong("ADD_REL_POS")


def test_at_most_and_at_least_are_wrong_beyond_their_bounds_alone() -> None:
    assert {each for each in wrong("TOP_K") if "result with ne[0]" in each} == {"the result with ne[0] = 7"}
    assert {each for each in wrong("SOFT_MAX") if each.startswith("mask with ne[1]")} == {"mask with ne[1] = 3"}
    assert {each for each in wrong("SSM_SCAN") if each.startswith("A with ne[0]")} == {"A with ne[0] = 17"}


def test_an_output_of_a_convolution_has_one_size() -> None:
    assert {"the result with ne[0] = 4", "the result with ne[1] = 7"} <= wrong("CONV_2D")


def test_the_dimension_of_a_concatenation_is_free() -> None:
    assert not {each for each in wrong("CONCAT") if each.startswith("b with ne[1]")}
    assert {"b with ne[0] = 5", "the result with ne[1] = 8"} <= wrong("CONCAT")


def test_what_is_written_by_hand_is_about_tensors_that_there_are() -> None:
    for name, tensor in BY_HAND:
        assert tensor == RESULT or tensor in {operand.name for operand in op(name).operands}


def test_a_wrong_extent_says_what_it_is() -> None:
    assert str(Wrong("b", 1, 5)) == "b with ne[1] = 5"


@pytest.mark.parametrize("name", WRONG)
def test_wrong_parameters_are_whole_numbers_of_the_op_and_fit_their_words(name: str) -> None:
    types = {param.name: param.type for param in op(name).params}
    for values in WRONG[name]:
        assert name == "ARANGE" or {types[param] for param in values.params} == {"i32"}
        assert Placed(CODEC, values.graph(SOUND[name]), NOWHERE).message()


@pytest.mark.parametrize("name", WRONG)
def test_wrong_parameters_are_not_those_of_the_sound_node(name: str) -> None:
    for values in WRONG[name]:
        assert values.graph(SOUND[name]).results[0].params != SOUND[name].params
