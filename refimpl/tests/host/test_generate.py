"""The loop of a continuation: what is shown when, and why it ends. The model is a list of tokens to come."""

from collections.abc import Sequence

import attrs
import numpy as np
import pytest
import trio
from numpy.typing import NDArray

from refimpl.errors import NodeClosed, UsageError
from refimpl.host.generate import Ending, Generation, check_prompt
from refimpl.host.summary import Times
from refimpl.model.gguf_file import open_model
from refimpl.model.tokenizer import Tokenizer
from refimpl.tests.model.tiny import TINY_PATH

TOKENIZER = Tokenizer.from_metadata(open_model(TINY_PATH).metadata)
END = min(TOKENIZER.end_ids)


def ids(text: str) -> list[int]:
    return TOKENIZER.encode(text, add_special=False)


@attrs.define
class Script:
    """Evaluates to logits whose best token is the next of `tokens`; raises `failure` when they run out."""

    tokens: list[int]
    n_ctx: int = 512
    failure: Exception | None = None
    n_past: int = 0
    graphs_reused: int = 0
    seen: list[list[int]] = attrs.field(factory=list)

    async def evaluate(self, tokens: Sequence[int]) -> NDArray[np.float32]:
        await trio.lowlevel.checkpoint()
        if not self.tokens and self.failure is not None:
            raise self.failure
        self.seen.append(list(tokens))
        self.n_past += len(tokens)
        logits = np.zeros(len(TOKENIZER.vocab.texts), np.float32)
        logits[self.tokens.pop(0)] = 1
        return logits


@attrs.define
class Page:
    """Pieces of text as they were shown."""

    pieces: list[bytes] = attrs.field(factory=list)

    @property
    def text(self) -> bytes:
        return b"".join(self.pieces)


def generation(script: Script, page: Page) -> Generation:
    def best(logits: NDArray[np.float32], so_far: Sequence[int]) -> int:
        return int(logits.argmax())

    return Generation(engine=script, tokenizer=TOKENIZER, choose=best, show=page.pieces.append, times=Times())


async def test_prompt_then_text_then_two_line_ends() -> None:
    script, page = Script(ids("abc")), Page()
    assert await generation(script, page).run(ids("Hi"), 3) is Ending.LIMIT
    assert page.text == b"Hiabc\n\n"
    assert script.seen == [ids("Hi"), *([token] for token in ids("ab"))]


async def test_the_prompt_is_shown_before_it_is_evaluated() -> None:
    script, page = Script([], failure=NodeClosed("a:1", "gone")), Page()
    with pytest.raises(NodeClosed):
        await generation(script, page).run(ids("Hi"), 3)
    assert page.text == b"Hi"


async def test_an_end_token_is_marked_even_as_the_last_one_allowed() -> None:
    script, page = Script([*ids("a"), END]), Page()
    assert await generation(script, page).run(ids("Hi"), 2) is Ending.END_OF_TEXT
    assert page.text == b"Hia [end of text]\n\n\n"


async def test_control_tokens_of_the_prompt_show_as_nothing() -> None:
    script, page = Script(ids("a")), Page()
    await generation(script, page).run([1, *ids("Hi")], 1)
    assert page.text == b"Hia\n\n"


async def test_no_tokens_asked_for_show_not_even_the_prompt() -> None:
    script, page = Script([]), Page()
    assert await generation(script, page).run(ids("Hi"), 0) is Ending.LIMIT
    assert page.text == b"\n\n"
    assert script.seen == []


@pytest.mark.parametrize("predict", [-1, -2, 100])
async def test_a_full_context_ends_the_text(predict: int) -> None:
    """Of 8 cells the prompt takes 2; 5 more are evaluated and the last cell stays empty, as in llama.cpp."""
    script, page = Script(ids("abcdefghij"), n_ctx=8), Page()
    assert await generation(script, page).run(ids("Hi"), predict) is Ending.CONTEXT_FULL
    assert page.text == b"Hiabcdef\n\n"
    assert script.n_past == 7


async def test_a_character_is_shown_when_it_is_whole() -> None:
    script, page = Script(ids("é!")), Page()
    await generation(script, page).run(ids("Hi"), 3)
    assert page.pieces[:3] == [b"Hi", "é".encode(), b"!"]


async def test_text_so_far_stays_when_a_node_is_lost() -> None:
    script, page = Script(ids("ab"), failure=NodeClosed("a:1", "gone")), Page()
    made = generation(script, page)
    with pytest.raises(NodeClosed):
        await made.run(ids("Hi"), -1)
    assert page.text == b"Hiab"
    assert made.times.eval_tokens == 1


async def test_text_so_far_stays_when_interrupted_half_way_through_a_character() -> None:
    half = ids("é")[:1]
    page, scope = Page(), trio.CancelScope()

    def best(logits: NDArray[np.float32], so_far: Sequence[int]) -> int:
        scope.cancel()
        return half[0]

    made = attrs.evolve(generation(Script(list(half)), page), choose=best)
    with scope:
        await made.run(ids("Hi"), -1)
    assert scope.cancelled_caught
    assert page.text == b"Hi\xc3"


async def test_the_chooser_sees_prompt_and_text() -> None:
    seen: list[list[int]] = []

    def choose(logits: NDArray[np.float32], so_far: Sequence[int]) -> int:
        seen.append(list(so_far))
        return int(logits.argmax())

    made = attrs.evolve(generation(Script(ids("ab")), Page()), choose=choose)
    await made.run(ids("Hi"), 2)
    assert seen == [ids("Hi"), [*ids("Hi"), *ids("a")]]


def test_prompts_that_cannot_be_used() -> None:
    with pytest.raises(UsageError, match="empty"):
        check_prompt([], 256)
    check_prompt([1] * 252, 256)
    with pytest.raises(UsageError, match=r"253 tokens, max 252.*-c"):
        check_prompt([1] * 253, 256)
