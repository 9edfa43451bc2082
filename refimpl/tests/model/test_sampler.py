"""Each sampler on logits that a reader can follow, and the chain: what it never chooses, and what a seed repeats."""

from collections import Counter

import attrs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from refimpl.model.sampler import (
    Candidates,
    SamplerParams,
    min_p,
    penalise,
    probabilities,
    sample,
    temper,
    top_k,
    top_p,
)

PLAIN = SamplerParams(temp=1.0, top_k=0, top_p=1.0, min_p=0.0)
GREEDY = SamplerParams(temp=0.0)
TENTHS = np.log(np.array([0.1, 0.4, 0.2, 0.3], np.float32))


def candidates(logits: np.ndarray) -> Candidates:
    return Candidates(np.arange(logits.size, dtype=np.int64), logits.astype(np.float32))


def drawn(params: SamplerParams, logits: np.ndarray = TENTHS, recent: tuple[int, ...] = (), n: int = 200) -> set[int]:
    random = np.random.default_rng(1)
    return {sample(logits, recent, params, random) for _ in range(n)}


@pytest.mark.parametrize(("k", "ids"), [(0, [0, 1, 2, 3]), (-1, [0, 1, 2, 3]), (2, [1, 3]), (9, [1, 3, 2, 0])])
def test_top_k_keeps_the_best_best_first(k: int, ids: list[int]) -> None:
    assert top_k(candidates(TENTHS), k).ids.tolist() == ids


def test_top_k_prefers_the_lower_id_among_equals() -> None:
    assert top_k(candidates(np.array([1.0, 3.0, 3.0, 3.0])), 2).ids.tolist() == [1, 2]


@pytest.mark.parametrize(("p", "ids"), [(0.0, [1]), (0.39, [1]), (0.5, [1, 3]), (0.71, [1, 3, 2]), (1.0, [0, 1, 2, 3])])
def test_top_p_keeps_the_best_until_they_reach_p(p: float, ids: list[int]) -> None:
    assert top_p(candidates(TENTHS), p).ids.tolist() == ids


@pytest.mark.parametrize(("p", "ids"), [(0.0, [0, 1, 2, 3]), (0.3, [1, 2, 3]), (0.6, [1, 3]), (1.0, [1]), (2.0, [1])])
def test_min_p_compares_with_the_best_and_never_drops_it(p: float, ids: list[int]) -> None:
    assert min_p(candidates(TENTHS), p).ids.tolist() == ids


def test_temperature_sharpens_and_flattens() -> None:
    spread = [np.ptp(probabilities(temper(candidates(TENTHS), temp).logits)) for temp in (0.5, 1.0, 2.0)]
    assert spread == sorted(spread, reverse=True)


def test_a_penalty_weakens_what_was_seen_lately_whatever_its_sign() -> None:
    params = SamplerParams(repeat_penalty=2.0, repeat_last_n=2)
    logits = np.array([4.0, -4.0, 4.0, 4.0], np.float32)
    assert penalise(logits, [2, 0, 1, 1, 0], params).tolist() == [2.0, -8.0, 4.0, 4.0]
    assert penalise(logits, [0], attrs.evolve(params, repeat_last_n=0)).tolist() == logits.tolist()
    assert logits.tolist() == [4.0, -4.0, 4.0, 4.0]


def test_greedy_takes_the_best_after_penalties() -> None:
    assert drawn(GREEDY) == {1}
    assert drawn(attrs.evolve(GREEDY, repeat_penalty=5.0), recent=(1,)) == {3}


def test_draws_follow_the_probabilities() -> None:
    random = np.random.default_rng(7)
    counts = Counter(sample(TENTHS, (), PLAIN, random) for _ in range(4000))
    for token, share in enumerate((0.1, 0.4, 0.2, 0.3)):
        assert counts[token] / 4000 == pytest.approx(share, abs=0.03)


def test_the_defaults_leave_out_the_unlikely() -> None:
    logits = np.log(np.array([0.94, 0.045, 0.015], np.float32))
    assert drawn(attrs.evolve(PLAIN, min_p=0.05), logits) == {0}
    assert drawn(attrs.evolve(PLAIN, top_p=0.95), logits) == {0, 1}


def test_a_banned_token_is_never_chosen_and_one_must_be_left() -> None:
    logits = np.array([0.0, -np.inf, 0.0, 0.0], np.float32)
    assert drawn(PLAIN, logits) == {0, 2, 3}
    with pytest.raises(ValueError, match="no token"):
        drawn(PLAIN, np.full(4, -np.inf, np.float32))


@given(
    logits=arrays.arrays(np.float32, st.integers(1, 50), elements=st.floats(-50, 50, width=32)),
    top_k=st.integers(-1, 60),
    top_p=st.floats(0, 1.5),
    min_p=st.just(0.0) | st.floats(1e-6, 1.5),
    temp=st.just(0.0) | st.floats(0.01, 3),
    seed=st.integers(0, 9),
)
def test_whatever_the_parameters_a_seed_repeats_its_token(
    logits: np.ndarray, top_k: int, top_p: float, min_p: float, temp: float, seed: int
) -> None:
    params = SamplerParams(temp=temp, top_k=top_k, top_p=top_p, min_p=min_p)
    first, again = (sample(logits, (), params, np.random.default_rng(seed)) for _ in range(2))
    assert 0 <= first < logits.size
    assert first == again
