"""Values, ranges and combinations as llama-bench reads them."""

import pytest

from refimpl.bench.llama.trials import Trial, numbers, pair, setups, trials
from refimpl.errors import UsageError
from refimpl.host.command.options import FlashAttention, Layers
from spec.names import Type


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("512", (512,)),
        ("0,128", (0, 128)),
        ("2-5", (2, 3, 4, 5)),
        ("2-8+3", (2, 5, 8)),
        ("2-9+3,1", (2, 5, 8, 1)),
        ("2-40*4", (2, 8, 32)),
        ("0-2", (0, 1, 2)),
    ],
)
def test_values_and_ranges(text: str, values: tuple[int, ...]) -> None:
    assert numbers(text) == values


@pytest.mark.parametrize("text", ["", "x", "-1", "1,", "8-2", "1-4+0", "1-4*1", "0-4*2", "1-99999999", "1.5"])
def test_what_is_no_range_is_refused_with_the_words(text: str) -> None:
    with pytest.raises(ValueError, match="'"):
        numbers(text)


@pytest.mark.parametrize("text", ["512", "512,0", "1,2,3"])
def test_a_pair_is_two_counts(text: str) -> None:
    assert pair("512,128") == (512, 128)
    with pytest.raises(ValueError, match="512,128"):
        pair(text)


def test_each_depth_runs_prompts_then_generations_then_both() -> None:
    found = trials([16, 0, 32], [0, 4], [(8, 2)], [0, 64])
    names = ["pp16", "pp32", "tg4", "pp8+tg2"]
    assert [trial.name for trial in found] == names + [f"{name} @ d64" for name in names]


def test_nothing_to_measure_is_said() -> None:
    with pytest.raises(UsageError, match="-p and -n"):
        trials([0], [0], [], [0])


def test_a_speed_counts_all_tokens_but_those_of_the_depth() -> None:
    assert Trial(8, 2, 100).tokens == 10


def test_every_combination_is_a_setup_and_a_graph_is_never_larger_than_a_batch() -> None:
    found = setups(
        model=["a", "b"],
        gpu_layers=[Layers.AUTO],
        batch=[256],
        ubatch=[128, 512],
        type_k=[Type.F16],
        type_v=[Type.F16],
        threads=[1, 2],
        flash=[FlashAttention.AUTO],
    )
    order = [(setup.model, setup.piece, setup.threads) for setup in found]
    assert order == [(model, piece, threads) for model in "ab" for piece in (128, 256) for threads in (1, 2)]
