"""Tokens in, logits out: one model over its stages, one sequence that grows at its end.

The hidden state starts here (the token embedding is local), goes from stage to stage through this process and comes
back as logits. Each stage costs one round trip for each graph: a token while decoding, up to `ubatch` tokens of a
prompt.
"""

from collections.abc import Sequence

import attrs
import numpy as np
from numpy.typing import NDArray

from refimpl.host.stage import LoadedStage, Span
from refimpl.kernels.blocks.registry import FORMATS
from refimpl.model.gguf_file import WeightTensor

__all__ = ["Engine", "embed"]


@attrs.define(eq=False)
class Engine:
    """A loaded model at work. The stages cover all layers in order, the last of them has the head."""

    stages: Sequence[LoadedStage]
    embedding: WeightTensor
    n_ctx: int
    """tokens that fit"""
    ubatch: int
    """most tokens of one graph"""
    n_past: int = 0
    """tokens evaluated so far"""

    async def prepare(self, count: int) -> None:
        """Build the graphs that `count` tokens and the one after them need; of a prompt in pieces only the first."""
        spans = [Span(self.n_past, min(count, self.ubatch))]
        if count <= self.ubatch:
            spans.append(Span(self.n_past + count, 1))
        for stage in self.stages:
            for span in spans:
                await stage.prepare(span)

    async def evaluate(self, tokens: Sequence[int]) -> NDArray[np.float32]:
        """Append tokens (at least one) to the sequence; logits (n_vocab,) behind the last of them.

        The logits are valid until the next call. ValueError when the context has no room; NodeError, DeviceError and
        ComputeFault of the stages.
        """
        if not 0 < len(tokens) <= self.n_ctx - self.n_past:
            raise ValueError(f"{len(tokens)} tokens after {self.n_past} in a context of {self.n_ctx}")
        hidden = np.empty((0, 0), np.float32)
        for start in range(0, len(tokens), self.ubatch):
            hidden = await self._piece(tokens[start : start + self.ubatch])
        logits: NDArray[np.float32] = hidden[-1]
        return logits

    def restart(self) -> None:
        """Begin another sequence; what is left of the last one lies behind its end, where no mask lets it count."""
        self.n_past = 0

    @property
    def graphs_reused(self) -> int:
        """Steps in which every stage ran the graph that it had run before."""
        return min(stage.reused for stage in self.stages)

    async def _piece(self, tokens: Sequence[int]) -> NDArray[np.float32]:
        span = Span(self.n_past, len(tokens))
        hidden = embed(self.embedding, tokens)
        for stage in self.stages:
            hidden = await stage.run(hidden, span)
        self.n_past += len(tokens)
        return hidden


def embed(weight: WeightTensor, tokens: Sequence[int]) -> NDArray[np.float32]:
    """weight (n_vocab, n_embd) packed [tokens (n,)] -> (n, n_embd); only the rows asked for are decoded."""
    kind = FORMATS[weight.type]
    n_embd, n_vocab = weight.ne[:2]
    packed = weight.data.reshape(n_vocab, -1)[np.asarray(tokens, np.int64)]
    decoded = kind.decode(packed.reshape(-1, kind.bytes))
    return np.ascontiguousarray(decoded, np.float32).reshape(len(tokens), n_embd)
