"""What goes into the inputs of a graph for given positions: pure arrays, ready to be sent as they are.

Cell and position are one number: a context holds one sequence that grows at its end, token p in cell p.
"""

import numpy as np
from numpy.typing import NDArray

from refimpl.model.attention import CacheShape
from refimpl.model.hparams import Hparams

__all__ = ["CELL_STEP", "attended_cells", "causal_mask", "k_indices", "positions", "v_indices"]

CELL_STEP = 256
"""n_kv grows in steps of this many cells, so that one graph serves many tokens"""


def attended_cells(n_used: int, n_ctx: int) -> int:
    """n_kv of a graph: the cells in use, including those this run fills, rounded up; at most n_ctx."""
    return min(n_ctx, max(CELL_STEP, -(-n_used // CELL_STEP) * CELL_STEP))


def positions(start: int, n_tokens: int) -> NDArray[np.int32]:
    """(n_tokens,) positions of tokens start, start + 1, ..."""
    return np.arange(start, start + n_tokens, dtype=np.int32)


def causal_mask(start: int, n_tokens: int, n_kv: int, cache: CacheShape) -> NDArray[np.float16] | NDArray[np.float32]:
    """(n_tokens, n_kv): 0 where the token may look (its own cell and those before), -inf elsewhere."""
    visible = np.arange(n_kv) <= positions(start, n_tokens)[:, None]
    if cache.flash:
        return np.where(visible, np.float16(0), np.float16(-np.inf))
    return np.where(visible, np.float32(0), np.float32(-np.inf))


def k_indices(start: int, n_tokens: int) -> NDArray[np.int64]:
    """(n_tokens,) cache cell of each token."""
    return np.arange(start, start + n_tokens, dtype=np.int64)


def v_indices(start: int, n_tokens: int, hparams: Hparams, cache: CacheShape) -> NDArray[np.int64]:
    """Where V goes: (n_tokens,) cells, or without flash (n_tokens * n_embd_v_gqa,) elements of the transpose."""
    cells = k_indices(start, n_tokens)
    if cache.flash:
        return cells
    rows = np.arange(hparams.n_embd_v_gqa, dtype=np.int64) * cache.n_ctx
    return (cells[:, None] + rows).reshape(-1)
