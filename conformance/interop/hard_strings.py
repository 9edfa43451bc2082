"""Strings on which tokenizers disagree: the same list for the same seed, on every machine.

Each string is built from a few fragments of one or several families, because rules clash at the seams: a digit after a
letter, a no-break space before a newline, a contraction in capitals, half a special token. Blocks that Unicode 16
added are left out: whether they hold letters depends on the age of a program's tables, not on its rules.
"""

import random

__all__ = ["hard_strings"]

FAMILIES: dict[str, str] = {
    "words": "the Hello WORLD isn it's naïve façade straße résumé don't can't Über internationalization x I a",
    "contractions": "'s 'S 't 'T 're 'RE 'Re 've 'VE 'm 'M 'll 'LL 'lL 'd 'D ’s ’t I'M WE'LL they'Ve 'x '' 'ſ 'K l'eau",
    "numbers": "0 7 42 123 1234 12345 1234567890 3.14159 1,000,000 1e-9 0xDEADBEEF ½ ² Ⅷ ٣٤٥ १२३ ４２ ① 1st 99%",
    "symbols": "! ? . , ; : - _ ( ) [ ] { } < > / \\ | @ # $ % ^ & * + = ~ ` \" ' ... — – … «» ¿ ¡ € £ © ™ ° →",
    "operators": "∑ √ ≤ 𝕏 === != -> ** // #! <=> $$ ^^ ~~ || ++ `` ?? :: ;) :-( <3 (a) [b] {c} a-b a_b x^2 $5 #1 @me",
    "emoji": "😀 👩\u200d👩\u200d👧\u200d👦 🏳️\u200d🌈 👍🏽 🇩🇪 ❤️ ☕ 🧑🏿\u200d🚀 1️⃣ 🫠 🪿",
    "scripts": "中文字符 日本語のテキスト 한국어 カタカナ Привет Ελληνικά עברית العربية हिन्दी ไทย தமிழ் ខ្មែរ Tiếng ǅ ﬃ",
    "odd letters": "𐍈 𠮷 ʰ ª º ـ ª1 ⅷ ⓐ ㊀ 〇 ゛ ー ꜰ ƻ ǀ",
    "combining": "e\u0301 a\u0308\u0323 \u0301 o\u0302\u0303\u0304 \u20dd n\u0303 \u0e33 \u094d Z\u0351\u036b",
    "code": "def|f(x):|if(a&&b){ return; for(int|i=0;i<10;++i){} <div|class=\"a\"> a='b'; https://example.org/a?b=c&d=%20",
    "special": "<|endoftext|> <|im_start|> <|im_end|> <|im_end <| |> </s> <s> <unk> <repo_name> <reponame> <file_sep>",
    "near special": "<|eot_id|> <|im_<|im_end|>end|> [INST] <0x0A> <|im_start|>user <|im_end|><|im_end|> <|IM_END|>",
}
"""fragments between spaces"""
SPACES = [" ", "  ", "   ", "\t", "\n", "\r\n", "\r", "\n\n\n", " \n", "\n ", "\t\t ", "\u00a0", "\u00a0 ", " \u00a0"]
MORE_SPACES = ["\u2003", "\u200b", "\u3000", "\u2028", "\u0085", "\u1680", "\v", "\f", "\ufeff", "\u202f", " \t\n\r "]
CONTROLS = ["\x00", "\x01", "\x07", "\x1b[0m", "\x7f", "\x1c", "\x1f", "\x80", "\x9f", "\u200e", "\u200f", "\u202e"]
MORE_CONTROLS = ["\ufffd", "\ufffe", "\ue000", "\U000e0001", "\U0010ffff", "\u0378", "\U000ef000", "\u00ad", "\u061c"]
FRAGMENTS = [*(text.split(" ") for text in FAMILIES.values()), SPACES, MORE_SPACES, CONTROLS, MORE_CONTROLS]
SURROGATES = (0xD800, 0xE000)
TOO_NEW = (
    (0x105C0, 0x10600),
    (0x10D40, 0x10D90),
    (0x11380, 0x11400),
    (0x11BC0, 0x11C00),
    (0x13460, 0x14400),
    (0x16100, 0x16140),
    (0x16D40, 0x16D80),
    (0x1CC00, 0x1CD00),
    (0x1E5D0, 0x1E600),
)
"""blocks of Unicode 16"""
RANGES = (0x80, 0x250, 0x2100, 0x3100, 0x10000, 0x20000, 0x110000)


def hard_strings(count: int = 1000, seed: int = 20) -> list[str]:
    """`count` strings; those of one fragment come first, then very long words, then mixtures."""
    chance = random.Random(seed)
    alone = ["", *(fragment for family in FRAGMENTS for fragment in family)]
    long = ["a" * 3000, "ab" * 700, " " * 500, "\n" * 300, "1" * 400, "é" * 300, "!" * 600, "中" * 200, "😀" * 90]
    mixed = [_mixture(chance) for _ in range(count)]
    return [*alone, *long, *mixed][:count]


def _mixture(chance: random.Random) -> str:
    style = chance.random()
    if style < 0.15:
        return "".join(chr(_code_point(chance)) for _ in range(chance.randint(1, 12)))
    families = chance.sample(FRAGMENTS, chance.randint(1, 3)) if style < 0.6 else FRAGMENTS
    parts = [chance.choice(chance.choice(families)) for _ in range(chance.randint(2, 12))]
    return (" " if chance.random() < 0.3 else "").join(parts)


def _code_point(chance: random.Random) -> int:
    """A code point that is a character in every program's eyes, the lower ranges more often."""
    value = chance.randrange(chance.choice(RANGES))
    barred = any(start <= value < end for start, end in (SURROGATES, *TOO_NEW))
    return ord("\ufffd") if barred else value
