"""Token metadata of a GGUF file > a vocabulary: texts, kinds, which tokens begin a prompt and which end a generation.

GGUF leaves part of this unsaid and llama.cpp fills it in from the spelling of tokens: a vocabulary that holds
`<|im_end|>` stops there although its end token is another. The tables here hold those spellings. Left out are
exceptions that concern vocabularies of other architectures (harmony, gemma).
"""

from collections.abc import Mapping
from enum import IntEnum
from typing import Any

import attrs

from refimpl.errors import ModelError

__all__ = ["TokenKind", "Vocab", "read_vocab"]

BYTE_LEVEL_BPE = "gpt2"
DEFAULT_END = 11
"""begin and end token of a byte-level vocabulary that names none"""

END_SPELLINGS = frozenset(
    [
        "<|eot_id|>",
        "<|im_end|>",
        "<|end|>",
        "<|return|>",
        "<|call|>",
        "<|flush|>",
        "<|calls|>",
        "<end_of_turn>",
        "<|endoftext|>",
        "</s>",
        "<|eom_id|>",
        "<EOT>",
        "_<EOT>",
        "[EOT]",
        "[EOS]",
        "<|end_of_text|>",
        "<end_of_utterance>",
        "<eos>",
        "<turn|>",
        "<|tool_response>",
    ]
)
"""tokens that end a generation wherever they occur in a vocabulary"""
LONE_END_SPELLING = "<｜end▁of▁sentence｜>"
"""ends a generation where the vocabulary has no other end-of-turn token"""
FILL_IN_SPELLINGS = {
    "fim_pre": ("<|fim_prefix|>", "<fim-prefix>", "<fim_prefix>", "<PRE>", "<|code_prefix|>", "<|prefix|>"),
    "fim_suf": ("<|fim_suffix|>", "<fim-suffix>", "<fim_suffix>", "<SUF>", "<|code_suffix|>", "<|suffix|>"),
    "fim_mid": ("<|fim_middle|>", "<fim-middle>", "<fim_middle>", "<MID>", "<|code_middle|>", "<|middle|>"),
    "fim_pad": ("<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]"),
    "fim_rep": ("<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<REPO>", "<reponame>"),
    "fim_sep": ("<|file_sep|>",),
}
"""fill-in-the-middle tokens by the role in their metadata key: the first spelling found has the role"""
ENDING_FILL_INS = ("fim_pad", "fim_rep", "fim_sep")


class TokenKind(IntEnum):
    """tokenizer.ggml.token_type."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


@attrs.frozen(eq=False, kw_only=True)
class Vocab:
    """Tokens by id."""

    texts: tuple[str, ...]
    """as stored: byte-level spelling for normal tokens, plain text for special ones"""
    kinds: tuple[TokenKind, ...]
    ids: Mapping[str, int]
    """by text; of two equal texts the later"""
    bos: int
    eos: int
    add_bos: bool
    add_eos: bool
    end_ids: frozenset[int]
    """tokens after which a generation ends"""

    def special_ids(self) -> tuple[int, ...]:
        """Tokens that are found in raw text before BPE sees it, longest spelling first."""
        kinds = (TokenKind.CONTROL, TokenKind.USER_DEFINED, TokenKind.UNKNOWN)
        found = [i for i, kind in enumerate(self.kinds) if kind in kinds and self.texts[i]]
        return tuple(sorted(found, key=lambda i: -len(self.texts[i].encode())))


def read_vocab(path: str, metadata: Mapping[str, Any], default_add_bos: bool) -> Vocab:
    """Vocabulary of a byte-level BPE file. Raises ModelError: other tokenizer, missing or contradictory metadata."""
    model = metadata.get("tokenizer.ggml.model")
    if model != BYTE_LEVEL_BPE:
        raise ModelError(path, f"tokenizer {model!r} is not served; known: {BYTE_LEVEL_BPE} (byte-level BPE)")
    texts = metadata.get("tokenizer.ggml.tokens")
    if not isinstance(texts, list) or not texts:
        raise ModelError(path, "metadata key 'tokenizer.ggml.tokens' is missing; convert the model again")
    ids = {text: i for i, text in enumerate(texts)}
    bos = _id(path, metadata, "bos", DEFAULT_END, len(texts))
    eos = _id(path, metadata, "eos", DEFAULT_END, len(texts))
    fill_ins = _fill_ins(path, metadata, ids)
    end_ids = _end_ids(path, metadata, ids) | {eos} | {fill_ins[r] for r in ENDING_FILL_INS if r in fill_ins}
    return Vocab(
        texts=tuple(texts),
        kinds=_kinds(path, metadata, texts, {i for i in end_ids if i != eos} | set(fill_ins.values())),
        ids=ids,
        bos=bos,
        eos=eos,
        add_bos=bool(metadata.get("tokenizer.ggml.add_bos_token", default_add_bos)),
        add_eos=bool(metadata.get("tokenizer.ggml.add_eos_token", False)),
        end_ids=frozenset(end_ids),
    )


def _id(path: str, metadata: Mapping[str, Any], role: str, default: int, n_tokens: int) -> int:
    key = f"tokenizer.ggml.{role}_token_id"
    value = metadata.get(key, min(default, n_tokens - 1))
    if not isinstance(value, int) or not 0 <= value < n_tokens:
        raise ModelError(path, f"metadata key '{key}' is {value!r}, the vocabulary has {n_tokens} tokens")
    return value


def _fill_ins(path: str, metadata: Mapping[str, Any], ids: Mapping[str, int]) -> dict[str, int]:
    found: dict[str, int] = {}
    for role, spellings in FILL_IN_SPELLINGS.items():
        if f"tokenizer.ggml.{role}_token_id" in metadata:
            found[role] = _id(path, metadata, role, 0, len(ids))
            continue
        present = [ids[spelling] for spelling in spellings if spelling in ids]
        if present:
            found[role] = present[0]
    return found


def _end_ids(path: str, metadata: Mapping[str, Any], ids: Mapping[str, int]) -> set[int]:
    ends = {ids[spelling] for spelling in END_SPELLINGS if spelling in ids}
    named = {
        _id(path, metadata, role, 0, len(ids))
        for role in ("eot", "eom")
        if f"tokenizer.ggml.{role}_token_id" in metadata
    }
    if not ends and not named and LONE_END_SPELLING in ids:
        ends.add(ids[LONE_END_SPELLING])
    return ends | named


def _kinds(path: str, metadata: Mapping[str, Any], texts: list[str], control: set[int]) -> tuple[TokenKind, ...]:
    """Kinds as stored; a token known by its spelling to steer generation is a control token whatever the file says."""
    stored = metadata.get("tokenizer.ggml.token_type")
    if stored is None:
        stored = [TokenKind.NORMAL] * len(texts)
    if len(stored) != len(texts):
        raise ModelError(path, f"{len(texts)} tokens but {len(stored)} token types; convert the model again")
    by_number = {int(kind): kind for kind in TokenKind}
    kinds = [by_number.get(int(number), TokenKind.NORMAL) for number in stored]
    for i in control:
        kinds[i] = TokenKind.CONTROL
    return tuple(kinds)
