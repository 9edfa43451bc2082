"""The choice of tokens as the flags ask for it: seeds, barred end tokens, results that are no numbers."""

import numpy as np
import pytest

from refimpl.errors import DeviceError
from refimpl.host.command.options import Options
from refimpl.host.sampling import Sampling
from refimpl.model.sampler import SamplerParams

FLAT = np.zeros(1000, np.float32)


def sampling(seed: int = -1, ignore_eos: bool = False, temp: float = 1.0) -> Sampling:
    params = SamplerParams(temp=temp, top_k=0)
    return Sampling.of(Options(model="m", seed=seed, ignore_eos=ignore_eos, sampling=params), frozenset({2, 5}))


def test_a_seed_gives_the_same_choices_again_and_no_seed_new_ones() -> None:
    def choices(seed: int) -> list[int]:
        chooser = sampling(seed)
        return [chooser.choose(FLAT, ()) for _ in range(8)]

    assert choices(7) == choices(7)
    assert choices(7) != choices(8)
    assert choices(-1) != choices(-1)


def test_the_seed_that_was_drawn_is_told_and_repeats_the_run() -> None:
    first = sampling()
    assert f"sampler seed: {first.seed};" in first.words()
    assert first.choose(FLAT, ()) == sampling(first.seed).choose(FLAT, ())


def test_end_tokens_are_barred_if_they_are_to_be_ignored() -> None:
    logits = FLAT.copy()
    logits[[2, 5]] = 9
    assert sampling(temp=0).choose(logits, ()) == 2
    assert sampling(temp=0, ignore_eos=True).choose(logits, ()) not in (2, 5)
    assert logits[2] == 9


def test_a_result_that_is_no_number_is_an_error_and_not_a_token() -> None:
    logits = FLAT.copy()
    logits[3] = np.nan
    with pytest.raises(DeviceError, match="not a number"):
        sampling(temp=0).choose(logits, ())
