"""The token embedding, which always stays with the main host: rows of the mapped file, decoded on demand."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from refimpl.kernels.blocks.registry import FORMATS
from refimpl.model.gguf_file import WeightTensor

__all__ = ["embed"]


def embed(weight: WeightTensor, tokens: Sequence[int]) -> NDArray[np.float32]:
    """weight (n_vocab, n_embd) packed [tokens (n,)] -> (n, n_embd)."""
    kind = FORMATS[weight.type]
    n_embd, n_vocab = weight.ne[:2]
    packed = weight.data.reshape(n_vocab, -1)[np.asarray(tokens, np.int64)]
    decoded = kind.decode(packed.reshape(-1, kind.bytes))
    return np.ascontiguousarray(decoded, np.float32).reshape(len(tokens), n_embd)
