"""The choice of tokens as a run is asked for it: llama.cpp's chain with a seed, and end tokens barred if told so."""

import random
from collections.abc import Sequence, Set

import attrs
import numpy as np
from numpy.typing import NDArray

from refimpl.errors import DeviceError
from refimpl.host.command.options import Options
from refimpl.model.sampler import SamplerParams, sample

__all__ = ["Sampling"]

SEED_BITS = 32
ANY_SEED = -1


@attrs.frozen(eq=False)
class Sampling:
    """Chooses tokens; its generator makes it give the same text for the same seed."""

    params: SamplerParams
    seed: int
    generator: np.random.Generator
    barred: tuple[int, ...]

    @classmethod
    def of(cls, options: Options, end_ids: Set[int]) -> "Sampling":
        seed = random.getrandbits(SEED_BITS) if options.seed == ANY_SEED else options.seed % (1 << SEED_BITS)
        barred = tuple(sorted(end_ids)) if options.ignore_eos else ()
        return cls(options.sampling, seed, np.random.default_rng(seed), barred)

    def choose(self, logits: NDArray[np.float32], so_far: Sequence[int]) -> int:
        """The next token for logits (n_vocab,), which are not changed. DeviceError if a logit is no number."""
        if np.isnan(logits).any():
            raise DeviceError("the model's result is not a number: a device computes wrongly, or the weights overflow")
        if self.barred:
            logits = logits.copy()
            logits[list(self.barred)] = -np.inf
        return sample(logits, so_far, self.params, self.generator)

    def words(self) -> str:
        """Seed and parameters for a person."""
        values = ", ".join(f"{name} = {value:g}" for name, value in attrs.asdict(self.params).items())
        return f"sampler seed: {self.seed}; {values}"
