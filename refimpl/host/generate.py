"""The loop of a continuation: show the prompt, then choose, show and evaluate one token after the other.

What is shown and when it ends is llama-completion's behaviour (build 11434, seen with `-no-cnv`): the prompt is shown
as its tokens, control tokens show as nothing, an end token is shown as nothing and followed by END_MARK, the text
ends with END_LINES, and with `-n 0` not even the prompt is shown. The context counts as full when the next token
would take its last cell.
"""

from collections.abc import Callable, Sequence
from enum import Enum
from time import perf_counter
from typing import Protocol

import attrs
import numpy as np
from numpy.typing import NDArray

from refimpl.errors import UsageError
from refimpl.host.summary import Times
from refimpl.model.tokenizer import TextStream, Tokenizer

__all__ = ["END_LINES", "END_MARK", "PROMPT_RESERVE", "Chooser", "Ending", "Evaluator", "Generation", "check_prompt"]

END_MARK = b" [end of text]\n"
END_LINES = b"\n\n"
PROMPT_RESERVE = 4
"""cells of the context that a prompt must leave free"""


class Ending(Enum):
    """Why a text ended."""

    LIMIT = "limit"
    END_OF_TEXT = "end of text"
    CONTEXT_FULL = "context full"


class Evaluator(Protocol):
    """What Engine is to this file."""

    @property
    def n_past(self) -> int: ...

    @property
    def n_ctx(self) -> int: ...

    @property
    def graphs_reused(self) -> int: ...

    async def evaluate(self, tokens: Sequence[int]) -> NDArray[np.float32]: ...


Chooser = Callable[[NDArray[np.float32], Sequence[int]], int]
"""chooses the next token from logits (n_vocab,) and the tokens so far"""


@attrs.define(eq=False, kw_only=True)
class Generation:
    """One continuation. `show` takes bytes that end with a whole character, as soon as there are any."""

    engine: Evaluator
    tokenizer: Tokenizer
    choose: Chooser
    show: Callable[[bytes], None]
    times: Times
    _stream: TextStream = attrs.field(factory=TextStream)
    _tokens: list[int] = attrs.field(factory=list)

    async def run(self, prompt: Sequence[int], predict: int) -> Ending:
        """Continue `prompt` (at least one token) by `predict` tokens, without limit if that is negative.

        Whatever ends it, all text made so far has been shown. Raises what Engine.evaluate raises.
        """
        if predict == 0:
            self.show(END_LINES)
            return Ending.LIMIT
        begin = perf_counter()
        try:
            return await self._continue(prompt, predict)
        finally:
            self.show(self._stream.flush())
            self.times.total += perf_counter() - begin
            self.times.graphs_reused = self.engine.graphs_reused

    async def _continue(self, prompt: Sequence[int], predict: int) -> Ending:
        self._append(prompt)
        logits = await self._evaluate_prompt(prompt)
        ending = None
        while ending is None:
            token = self._choose(logits)
            self._append([token])
            predict -= 1
            ending = self._ending(token, predict)
            if ending is None:
                logits = await self._evaluate_token(token)
        self.show(self._stream.flush())
        self.show(END_MARK + END_LINES if ending is Ending.END_OF_TEXT else END_LINES)
        return ending

    def _ending(self, token: int, remaining: int) -> Ending | None:
        if token in self.tokenizer.end_ids:
            return Ending.END_OF_TEXT
        if remaining == 0:
            return Ending.LIMIT
        if self.engine.n_past + 1 >= self.engine.n_ctx:
            return Ending.CONTEXT_FULL
        return None

    def _append(self, tokens: Sequence[int]) -> None:
        self._tokens += tokens
        ready = b"".join(self._stream.feed(self.tokenizer.piece(token)) for token in tokens)
        if ready:
            self.show(ready)

    def _choose(self, logits: NDArray[np.float32]) -> int:
        begin = perf_counter()
        token = self.choose(logits, self._tokens)
        self.times.sampling += perf_counter() - begin
        return token

    async def _evaluate_prompt(self, prompt: Sequence[int]) -> NDArray[np.float32]:
        begin = perf_counter()
        logits = await self.engine.evaluate(prompt)
        self.times.prompt += perf_counter() - begin
        self.times.prompt_tokens += len(prompt)
        return logits

    async def _evaluate_token(self, token: int) -> NDArray[np.float32]:
        begin = perf_counter()
        logits = await self.engine.evaluate([token])
        self.times.eval += perf_counter() - begin
        self.times.eval_tokens += 1
        return logits


def check_prompt(prompt: Sequence[int], n_ctx: int) -> None:
    """UsageError for a prompt without tokens, or with so many that hardly a text could follow."""
    if not prompt:
        raise UsageError("the prompt is empty: give one with -p or -f")
    most = n_ctx - PROMPT_RESERVE
    if len(prompt) > most:
        raise UsageError(f"the prompt is too long ({len(prompt)} tokens, max {most}): shorten it or raise -c")
