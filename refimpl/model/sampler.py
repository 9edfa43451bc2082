"""Logits > the next token: llama.cpp's default chain of samplers, as pure functions over shrinking candidate lists.

Order and defaults are those of `llama-completion --help`:
    penalties > top-k > top-p > min-p > temperature > draw
The samplers between them that are off by default (DRY, top-n-sigma, typical, XTC) have no flag here and are left out. A
temperature of 0 or less takes the best candidate instead of drawing.

Randomness comes in as a numpy Generator. A seed gives the same text again with this program, but not llama.cpp's,
which draws from another generator.
"""

from collections.abc import Sequence

import attrs
import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Candidates",
    "SamplerParams",
    "min_p",
    "penalise",
    "probabilities",
    "sample",
    "temper",
    "top_k",
    "top_p",
]

Logits = NDArray[np.float32]


@attrs.frozen(kw_only=True)
class SamplerParams:
    """What the flags of the same names set; the value that turns each sampler off stands behind its meaning."""

    temp: float = 0.8
    """logits are divided by it; 0 or less: greedy"""
    top_k: int = 40
    """keep the k best; 0 or less: all"""
    top_p: float = 0.95
    """keep the best until they make up this probability; 1: all"""
    min_p: float = 0.05
    """keep those at least this fraction as probable as the best; 0: all"""
    repeat_penalty: float = 1.0
    """weaken tokens seen lately; 1: off"""
    repeat_last_n: int = 64
    """how many tokens are "lately"; 0: none"""


@attrs.frozen(eq=False)
class Candidates:
    """Tokens that are still in the running, as parallel arrays (n,); never empty."""

    ids: NDArray[np.int64]
    logits: Logits

    def best_first(self) -> "Candidates":
        """Sorted by logit, downwards; equal ones stay in the order they have, which is by id."""
        order = np.argsort(-self.logits, kind="stable")
        return self.keep(order)

    def keep(self, which: NDArray[np.intp] | slice) -> "Candidates":
        """The chosen ones."""
        return Candidates(self.ids[which], self.logits[which])


def sample(logits: Logits, recent: Sequence[int], params: SamplerParams, random: np.random.Generator) -> int:
    """Token id drawn from `logits` (n_vocab,), which is not changed.

    recent: the text so far as tokens, prompt included, oldest first. A logit of -inf bans its token; ValueError if
    none is left.
    """
    weakened = penalise(logits, recent, params)
    candidates = Candidates(np.arange(logits.size, dtype=np.int64), weakened)
    if not np.isfinite(weakened).any():
        raise ValueError("no token has a finite logit")
    if params.temp <= 0:
        return int(np.argmax(weakened))
    candidates = top_k(candidates, params.top_k)
    candidates = top_p(candidates, params.top_p)
    candidates = min_p(candidates, params.min_p)
    candidates = temper(candidates, params.temp)
    return int(random.choice(candidates.ids, p=probabilities(candidates.logits)))


def penalise(logits: Logits, recent: Sequence[int], params: SamplerParams) -> Logits:
    """A copy in which each token seen lately is weakened: positive logits divided by the penalty, others multiplied."""
    weakened = logits.astype(np.float32)
    if params.repeat_penalty == 1.0 or params.repeat_last_n == 0 or not recent:
        return weakened
    seen = np.unique(np.asarray(recent[-params.repeat_last_n :], np.int64))
    values = weakened[seen]
    penalty = np.float32(params.repeat_penalty)
    weakened[seen] = np.where(values <= 0, values * penalty, values / penalty)
    return weakened


def top_k(candidates: Candidates, k: int) -> Candidates:
    """The k best, best first; all, as they are, if k is 0 or less."""
    if k <= 0:
        return candidates
    n = candidates.logits.size
    if k < n:
        # the k-th best logit and all that tie with it, so that the stable sort decides between equals
        threshold = np.partition(candidates.logits, n - k)[n - k]
        candidates = candidates.keep(np.flatnonzero(candidates.logits >= threshold))
    return candidates.best_first().keep(slice(k))


def top_p(candidates: Candidates, p: float) -> Candidates:
    """The best whose probabilities first sum to at least p, at least one; all if p is 1 or more."""
    if p >= 1.0:
        return candidates
    candidates = candidates.best_first()
    sums = np.cumsum(probabilities(candidates.logits))
    return candidates.keep(slice(int(np.searchsorted(sums, p)) + 1))


def min_p(candidates: Candidates, p: float) -> Candidates:
    """Those at least p times as probable as the best, which always stays; all if p is 0 or less."""
    if p <= 0.0:
        return candidates
    least = candidates.logits.max() + np.log(np.float32(min(p, 1.0)))
    return candidates.keep(np.flatnonzero(candidates.logits >= least))


def temper(candidates: Candidates, temp: float) -> Candidates:
    """Logits divided by the temperature, which is above 0."""
    return Candidates(candidates.ids, candidates.logits / np.float32(temp))


def probabilities(logits: Logits) -> NDArray[np.float64]:
    """Softmax in float64; (n,) to (n,), sums to 1."""
    shifted = np.exp(logits.astype(np.float64) - logits.max())
    result: NDArray[np.float64] = shifted / shifted.sum()
    return result
