"""Text > token ids > bytes, from a GGUF file's metadata alone.

Special tokens are cut out of the text first, the longest spelling first, then the pieces between them go through the
pre-tokenizer and BPE. Each token stands for bytes, not for characters: only TextStream knows where a character ends.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import attrs
from tokenizers import Tokenizer as BpeEngine
from tokenizers.models import BPE

from refimpl.errors import ModelError
from refimpl.model.pretokenizers import PreTokenizerRule, find_rule, make_pre_tokenizer
from refimpl.model.vocab import TokenKind, Vocab, read_vocab

__all__ = ["TextStream", "Tokenizer"]

DEFAULT_RULE = "default"
REPLACEMENT = "\ufffd"
NO_TOKEN = "\0"
"""stands for a byte that the vocabulary has no token for: it keeps its neighbours from merging, then it is dropped"""
_SURROGATES = re.compile("[\ud800-\udfff]")
_HIDDEN = (TokenKind.CONTROL, TokenKind.UNKNOWN)


def _byte_spelling() -> dict[str, int]:
    """Character > byte: printable Latin-1 stands for itself, the other bytes for U+0100 onwards in order."""
    shown = {*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)}
    hidden = [byte for byte in range(256) if byte not in shown]
    return {chr(byte): byte for byte in shown} | {chr(256 + i): byte for i, byte in enumerate(hidden)}


_BYTE_OF = _byte_spelling()


@attrs.frozen(eq=False)
class Tokenizer:
    """Byte-level BPE tokenizer of one model file."""

    vocab: Vocab
    engine: BpeEngine
    special_ids: tuple[int, ...]

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, Any], path: str = "model") -> "Tokenizer":
        """Raises ModelError, naming `path`: tokenizer or pre-tokenizer unknown, metadata missing or contradictory."""
        rule = find_rule(path, metadata.get("tokenizer.ggml.pre", DEFAULT_RULE))
        vocab = read_vocab(path, metadata, rule.add_bos)
        return cls(vocab, _engine(path, metadata, vocab, rule), vocab.special_ids())

    @property
    def end_ids(self) -> frozenset[int]:
        """Tokens after which a generation ends."""
        return self.vocab.end_ids

    def encode(self, text: str, add_special: bool = True, parse_special: bool = True) -> list[int]:
        """Token ids of a text.

        add_special: put the begin (and end) token around it if the file asks for one. parse_special: spelled-out
        control tokens count as such; otherwise they are text. Tokens that the model's author defined always count.
        llama.cpp reads a prompt with both set. Code points that are no characters (lone surrogates) become U+FFFD.
        """
        ids: list[int] = []
        for part in self._parts(_SURROGATES.sub(REPLACEMENT, text), parse_special):
            ids += [part] if isinstance(part, int) else self._words(part)
        before = [self.vocab.bos] if add_special and self.vocab.add_bos else []
        after = [self.vocab.eos] if add_special and self.vocab.add_eos else []
        return before + ids + after

    def piece(self, token: int, special: bool = False) -> bytes:
        """Bytes that a token stands for; none for control tokens unless `special`."""
        kind, text = self.vocab.kinds[token], self.vocab.texts[token]
        if kind is TokenKind.USER_DEFINED:
            return text.encode()
        if kind in _HIDDEN:
            return text.encode() if special else b""
        if kind is not TokenKind.NORMAL:
            return b""
        return b"".join(bytes((_BYTE_OF[char],)) if char in _BYTE_OF else char.encode() for char in text)

    def _words(self, text: str) -> list[int]:
        found = self.engine.encode(text, add_special_tokens=False).ids
        return [token for token in found if token < len(self.vocab.texts)]

    def _parts(self, text: str, parse_special: bool) -> list[str | int]:
        parts: list[str | int] = [text] if text else []
        for token in self.special_ids:
            spelling = self.vocab.texts[token]
            if spelling in text and (parse_special or self.vocab.kinds[token] is TokenKind.USER_DEFINED):
                parts = [piece for part in parts for piece in _cut(part, spelling, token)]
        return parts


def _cut(part: str | int, spelling: str, token: int) -> Iterator[str | int]:
    """Part with every occurrence of the spelling replaced by the token."""
    if isinstance(part, int):
        yield part
        return
    for i, between in enumerate(part.split(spelling)):
        if i:
            yield token
        if between:
            yield between


def _engine(path: str, metadata: Mapping[str, Any], vocab: Vocab, rule: PreTokenizerRule) -> BpeEngine:
    lines = metadata.get("tokenizer.ggml.merges")
    if not isinstance(lines, list):
        raise ModelError(path, "metadata key 'tokenizer.ggml.merges' is missing; convert the model again")
    # either half may itself begin with a space character, so the separator is looked for after the first one
    pairs = [(line[:at], line[at + 1 :]) for line in lines for at in (line.find(" ", 1),)]
    try:
        model = BPE(
            {**vocab.ids, NO_TOKEN: len(vocab.texts)}, pairs, unk_token=NO_TOKEN, ignore_merges=rule.whole_words
        )
    except Exception as error:  # the library raises nothing more precise
        raise ModelError(path, f"tokenizer.ggml.merges does not fit the vocabulary: {error}") from error
    engine = BpeEngine(model)
    engine.pre_tokenizer = make_pre_tokenizer(rule)
    return engine


@attrs.define
class TextStream:
    """Pieces in, whole characters out: bytes of an unfinished UTF-8 character wait for the rest of it.

    No byte is changed or lost: what can never become a character is passed on as it is.
    """

    _held: bytes = b""

    def feed(self, piece: bytes) -> bytes:
        """Bytes that are ready to be shown after this piece."""
        whole = self._held + piece
        cut = len(whole) - _unfinished(whole)
        self._held = whole[cut:]
        return whole[:cut]

    def flush(self) -> bytes:
        """What is still held, at the end of a text."""
        rest, self._held = self._held, b""
        return rest


def _unfinished(data: bytes) -> int:
    """Bytes at the end that begin a UTF-8 character without ending it: 0 to 3."""
    for back in range(1, min(3, len(data)) + 1):
        byte = data[-back]
        if byte & 0xC0 == 0x80:
            continue
        length = 4 if byte & 0xF8 == 0xF0 else 3 if byte & 0xF0 == 0xE0 else 2 if byte & 0xE0 == 0xC0 else 1
        return back if length > back else 0
    return 0
