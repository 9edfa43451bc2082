"""Pre-tokenizer rules by the name that GGUF gives them (`tokenizer.ggml.pre`): how text is cut into words before BPE.

A rule is a list of patterns. Each cuts every piece that the one before left; what a pattern matches and what lies
between its matches both become pieces. The patterns are those of the tokenizers that the names stand for, in
Oniguruma syntax, and no rule normalises text. What counts as a letter follows the Unicode tables of the tokenizers
library; they know the scripts of Unicode 16, those of llama.cpp (build 11434) do not, and only there the two cut
differently. A name that is not in the table is refused: a wrong cut gives a wrong prompt without any sign of it.
"""

import attrs
from tokenizers import Regex
from tokenizers.pre_tokenizers import ByteLevel, PreTokenizer, Sequence, Split

from refimpl.errors import ModelError

__all__ = ["PRE_TOKENIZERS", "PreTokenizerRule", "find_rule", "make_pre_tokenizer"]

GPT2_WORDS = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
ANY_CASE_CONTRACTION = r"'(?:[sS]|[tT]|[rR][eE]|[vV][eE]|[mM]|[lL][lL]|[dD])"
"""spelled out: ignoring case would also take the long s for an s"""
NEWLINES_AND_SPACES = r"\s*[\r\n]+|\s+(?!\S)|\s+"
LETTERS = r"[^\r\n\p{L}\p{N}]?\p{L}+"
SYMBOLS = r" ?[^\s\p{L}\p{N}]+[\r\n]*"


@attrs.frozen
class PreTokenizerRule:
    """What one name stands for."""

    patterns: tuple[str, ...]
    whole_words: bool = False
    """a word that is a token is taken as it is, whatever the merges would make of it"""
    add_bos: bool = False
    """default of a file that does not say"""


PRE_TOKENIZERS: dict[str, PreTokenizerRule] = {
    "default": PreTokenizerRule((r"[\p{P}\$\+<=>\^~\|]+", GPT2_WORDS, r"\p{N}+", "[0-9][0-9][0-9]")),
    "gpt-2": PreTokenizerRule((GPT2_WORDS,)),
    "smollm": PreTokenizerRule((r"\p{N}", GPT2_WORDS)),
    "llama-bpe": PreTokenizerRule(
        ("|".join((ANY_CASE_CONTRACTION, LETTERS, r"\p{N}{1,3}", SYMBOLS, NEWLINES_AND_SPACES)),),
        whole_words=True,
        add_bos=True,
    ),
    "qwen2": PreTokenizerRule(("|".join((ANY_CASE_CONTRACTION, LETTERS, r"\p{N}", SYMBOLS, NEWLINES_AND_SPACES)),)),
}


def find_rule(path: str, name: str) -> PreTokenizerRule:
    """Rule of a name; raises ModelError that lists the known ones."""
    rule = PRE_TOKENIZERS.get(name)
    if rule is None:
        known = ", ".join(PRE_TOKENIZERS)
        raise ModelError(
            path, f"pre-tokenizer {name!r} is unknown; known: {known}. A wrong one would garble every prompt"
        )
    return rule


def make_pre_tokenizer(rule: PreTokenizerRule) -> PreTokenizer:
    """Cuts by every pattern in turn, then spells each byte as one printable character."""
    cuts = [Split(Regex(pattern), behavior="isolated") for pattern in rule.patterns]
    return Sequence([*cuts, ByteLevel(add_prefix_space=False, use_regex=False)])
