"""The tokenizer against stock's recorded ids, and what lies around BPE: special tokens, begin and end, bytes."""

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

import pytest
from gguf.constants import TokenType
from hypothesis import given
from hypothesis import strategies as st

from conformance.interop.vocab_model import pair_vocabulary
from refimpl.errors import ModelError
from refimpl.model.pretokenizers import PRE_TOKENIZERS
from refimpl.model.tokenizer import TextStream, Tokenizer

HEADER, *LINES = (files("refimpl.tests.model") / "vectors" / "tokens.jsonl").read_text().splitlines()
RECORDED: list[str] = json.loads(HEADER)["pre"]


@cache
def pairs(pre: str) -> Tokenizer:
    """The vocabulary that the vectors were recorded with."""
    vocabulary = pair_vocabulary()
    return Tokenizer.from_metadata(
        {
            "tokenizer.ggml.model": "gpt2",
            "tokenizer.ggml.pre": pre,
            "tokenizer.ggml.tokens": list(vocabulary.tokens),
            "tokenizer.ggml.token_type": list(vocabulary.types),
            "tokenizer.ggml.merges": list(vocabulary.merges),
            "tokenizer.ggml.bos_token_id": 0,
            "tokenizer.ggml.eos_token_id": 0,
        }
    )


TOKENS = ["<|im_end|>", "a", "b", "ab", "\u0120", "<|im_end|><b>", "h\u00e9", "<unk>"]
KINDS = [TokenType.CONTROL, *[TokenType.NORMAL] * 4, TokenType.USER_DEFINED, TokenType.USER_DEFINED, TokenType.UNKNOWN]
SMALL: Mapping[str, Any] = {
    "tokenizer.ggml.model": "gpt2",
    "tokenizer.ggml.pre": "gpt-2",
    "tokenizer.ggml.tokens": TOKENS,
    "tokenizer.ggml.token_type": [int(kind) for kind in KINDS],
    "tokenizer.ggml.merges": ["a b"],
    "tokenizer.ggml.bos_token_id": 0,
    "tokenizer.ggml.eos_token_id": 0,
}


def small(**changes: Any) -> Tokenizer:
    given = {f"tokenizer.ggml.{key}": value for key, value in changes.items()}
    return Tokenizer.from_metadata({key: v for key, v in {**SMALL, **given}.items() if v is not None}, "m.gguf")


def test_every_rule_has_its_recorded_ids() -> None:
    assert set(RECORDED) == set(PRE_TOKENIZERS)


@pytest.mark.parametrize("pre", RECORDED)
def test_ids_are_those_that_stock_gave(pre: str) -> None:
    tokenizer, column = pairs(pre), RECORDED.index(pre) + 1
    rows = [json.loads(line) for line in LINES]
    assert len(rows) >= 400
    different = [row[0] for row in rows if tokenizer.encode(row[0], add_special=False) != row[column]]
    assert not different


@pytest.mark.parametrize("pre", RECORDED)
@given(text=st.text(max_size=30))
def test_ids_spell_the_text_they_came_from(pre: str, text: str) -> None:
    tokenizer = pairs(pre)
    spelled = b"".join(tokenizer.piece(token) for token in tokenizer.encode(text, add_special=False))
    assert spelled == text.encode()


def test_the_longest_special_token_is_cut_out_first() -> None:
    assert small().encode("ab<|im_end|>b") == [3, 0, 2]
    assert small().encode("a<|im_end|><b>b") == [1, 5, 2]


def test_control_tokens_are_text_unless_parsed_but_the_author_s_own_always_count() -> None:
    assert 0 not in small().encode("a<|im_end|>", parse_special=False)
    assert small().encode("ah\u00e9", parse_special=False) == [1, 6]


def test_a_byte_without_a_token_is_left_out_and_keeps_its_neighbours_apart() -> None:
    assert small().encode("a!b") == [1, 2]


@pytest.mark.parametrize(
    ("changes", "ids"),
    [
        ({}, [3]),
        ({"add_bos_token": True}, [0, 3]),
        ({"add_eos_token": True}, [3, 0]),
        ({"pre": "llama-bpe"}, [0, 3]),
        ({"pre": "llama-bpe", "add_bos_token": False}, [3]),
    ],
)
def test_begin_and_end_tokens_are_those_the_file_asks_for(changes: dict[str, Any], ids: list[int]) -> None:
    assert small(**changes).encode("ab") == ids
    assert small(**changes).encode("ab", add_special=False) == [3]


def test_pieces_are_bytes_and_control_tokens_are_hidden() -> None:
    tokenizer = small()
    assert [tokenizer.piece(token) for token in (0, 3, 4, 6, 7)] == [b"", b"ab", b" ", "h\u00e9".encode(), b""]
    assert tokenizer.piece(0, special=True) == b"<|im_end|>"


def test_a_token_known_by_its_spelling_ends_a_text_although_the_file_names_another() -> None:
    assert small(eos_token_id=1).end_ids == {0, 1}
    assert small(eot_token_id=2).end_ids == {0, 2}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"pre": "tekken"}, ["'tekken'", "default, gpt-2, smollm, llama-bpe, qwen2"]),
        ({"model": "llama"}, ["'llama'", "gpt2"]),
        ({"tokens": None}, ["tokenizer.ggml.tokens", "missing"]),
        ({"merges": None}, ["tokenizer.ggml.merges", "missing"]),
        ({"merges": ["a q"]}, ["merges", "does not fit"]),
        ({"token_type": [1]}, ["8 tokens but 1 token types"]),
        ({"eos_token_id": 8}, ["eos_token_id", "8 tokens"]),
    ],
)
def test_metadata_that_no_tokenizer_is_made_from_are_refused(changes: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(ModelError) as caught:
        small(**changes)
    assert all(word in str(caught.value) for word in ["m.gguf", *words]), caught.value


@given(text=st.text(), cuts=st.lists(st.integers(1, 5)))
def test_a_stream_shows_whole_characters_and_every_byte(text: str, cuts: list[int]) -> None:
    data, stream, shown = text.encode(), TextStream(), []
    for size in [*cuts, len(data)]:
        shown.append(stream.feed(data[:size]))
        data = data[size:]
    shown.append(stream.flush())
    assert "".join(part.decode() for part in shown) == text


@given(pieces=st.lists(st.binary(max_size=4)))
def test_a_stream_passes_on_what_is_no_text(pieces: list[bytes]) -> None:
    stream = TextStream()
    assert b"".join([*map(stream.feed, pieces), stream.flush()]) == b"".join(pieces)
