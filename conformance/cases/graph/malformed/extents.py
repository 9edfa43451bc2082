"""Extents that an op's shape rule does not allow, worked out from the words of spec/data/ops.toml.

Rules
- What a tensor of a sound graph says of one extent is changed, the rest stays: so a rule is broken when the extent was
  determined by the others. It is one more and one less, since either may be the one that leaves a tensor.
- Understood are bracketed extents, with their letters, numbers and sums ("[n, 2 * n - 1, b]"), "extents of a", "one
  element", "as many elements as x", "every extent divides that of a", and conditions behind the brackets such as
  "b2 divides B2" and "k at most n". What a rule says in other words is in BY_HAND, or is not asked.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from math import prod

import attrs

from conformance.cases.graph.malformed.sound import Sound
from spec.dialect import OpDef

__all__ = ["RESULT", "Field", "Rules", "Wrong", "wrong_extents"]

RESULT = "the result"
DIMENSIONS = 4
Extents = tuple[int, ...]

BRACKETS = re.compile(r"^(?:at least )?\[([^\]]*)\]")
SAME = re.compile(r"extents (?:and type )?of (\w+)")
LETTER = re.compile(r"^[A-Za-z]\w*$")
WORDS = re.compile(r"[A-Za-z]\w*")
AT_LEAST = "at least "
DIVIDES = re.compile(r"(\w+) divides (\w+)")
AT_MOST = re.compile(r"(\w+) at most (\w+)")
FUNCTIONS = {"ceil"}
OUTPUT_SIZES = {"ow", "oh", "od"}
"""letters that OP-CONV-SIZE determines"""

BY_HAND: Mapping[tuple[str, str], tuple[int, ...]] = {
    ("PAD", RESULT): (0, 1, 2, 3),
    ("COL2IM_1D", RESULT): (0,),
    ("IM2COL_BACK", "grad"): (0, 1, 2, 3),
    ("POOL_2D_BACK", "grad"): (0, 1, 2, 3),
    ("SSM_SCAN", RESULT): (0,),
    ("FLASH_ATTN_BACK", RESULT): (0,),
}
"""op and tensor > dimensions that its rule determines in words that are not understood here"""


@attrs.frozen
class Wrong:
    """One extent of one tensor (an operand's name, or RESULT)."""

    tensor: str
    dimension: int
    extent: int

    def __str__(self) -> str:
        return f"{self.tensor} with ne[{self.dimension}] = {self.extent}"


@attrs.frozen
class Field:
    """What the rule says of one extent, and what it is in the sound graph."""

    tensor: str
    dimension: int
    text: str
    extent: int


def wrong_extents(op: OpDef, sound: Sound) -> list[Wrong]:
    """All that is wrong for certain; in the order of the operands, the result last."""
    rules = Rules.of(op, sound)
    found = [wrong for name in rules.texts for wrong in rules.of_tensor(name)]
    return sorted(set(found), key=lambda wrong: (list(rules.texts).index(wrong.tensor), wrong.dimension, wrong.extent))


@attrs.frozen
class Rules:
    """The shape rule of an op and the extents of its sound graph, by operand's name and RESULT."""

    op: str
    texts: Mapping[str, str]
    extents: Mapping[str, Extents]
    params: frozenset[str]

    @classmethod
    def of(cls, op: OpDef, sound: Sound) -> "Rules":
        """Operands that the sound graph does not have are left out."""
        named = dict(zip((operand.name for operand in op.operands), sound.operands, strict=False))
        texts = {operand.name: operand.shape for operand in op.operands if operand.name in named} | {RESULT: op.shape}
        extents = {name: _extents(text) for name, text in named.items()} | {RESULT: _extents(sound.result)}
        return cls(op.name, texts, extents, frozenset(param.name for param in op.params))

    def of_tensor(self, name: str) -> Iterator[Wrong]:
        """What is wrong for one tensor."""
        yield from self._near(name, BY_HAND.get((self.op, name), ()))
        if same := SAME.search(self.texts[name]):
            yield from self._same(name, same[1])
        elif fields := self.fields(name):
            for field in fields:
                yield from self._of_field(field)
        else:
            yield from self._in_words(name)

    def fields(self, name: str) -> list[Field]:
        """The bracketed extents of a tensor, missing ones included."""
        found = BRACKETS.match(self.texts[name])
        if found is None or "..." in found[1]:
            return []
        texts = [text.strip() for text in found[1].split(",")]
        if self.texts[name].startswith(AT_LEAST):
            return [Field(name, 0, AT_LEAST + texts[0], self.extents[name][0])]
        texts += ["1"] * (DIMENSIONS - len(texts))
        return [Field(name, at, text, self.extents[name][at]) for at, text in enumerate(texts)]

    def letters(self) -> list[Field]:
        """Every extent, of any tensor, that is a letter and nothing else."""
        return [field for name in self.texts for field in self.fields(name) if LETTER.match(field.text)]

    def _near(self, name: str, dimensions: Sequence[int]) -> Iterator[Wrong]:
        for at in dimensions:
            extent = self.extents[name][at]
            yield Wrong(name, at, extent + 1)
            if extent > 1:
                yield Wrong(name, at, extent - 1)

    def _same(self, name: str, other: str) -> Iterator[Wrong]:
        """Extents of another tensor; of CONCAT's operands all but dimension dim, which is 1 in the sound graph."""
        if other not in self.texts:
            return
        free = {1} if "but for dimension dim" in self.texts[name] else set()
        yield from self._near(name, [at for at in range(DIMENSIONS) if at not in free])

    def _of_field(self, field: Field) -> Iterator[Wrong]:
        if " or " in field.text:
            yield Wrong(field.tensor, field.dimension, max(self._values(field.text)) + 1)
        elif field.text.startswith(AT_LEAST):
            yield Wrong(field.tensor, field.dimension, max(self._values(field.text.removeprefix(AT_LEAST))) - 1)
        elif self._is_determined(field):
            yield from self._near(field.tensor, [field.dimension])
        yield from self._bounded(field)

    def _values(self, text: str) -> list[int]:
        """The numbers and letters of a text, as numbers."""
        known = {field.text: field.extent for field in self.letters()}
        return [
            known[word] if word in known else int(word)
            for word in text.split(" or ")
            if word in known or word.isdigit()
        ]

    def _is_determined(self, field: Field) -> bool:
        letters = self.letters()
        others = {other.text for other in letters if other != field}
        known = others | self.params | FUNCTIONS | OUTPUT_SIZES
        if not LETTER.match(field.text):
            return set(WORDS.findall(field.text)) <= known
        return field.text in known or any(self._needs(sum_, field.text) for sum_ in self._sums())

    def _sums(self) -> Iterator[Field]:
        for name in self.texts:
            yield from (field for field in self.fields(name) if not LETTER.match(field.text) and "/" not in field.text)

    def _needs(self, sum_: Field, letter: str) -> bool:
        """Whether an extent that is determined is worked out from the letter."""
        words = set(WORDS.findall(sum_.text))
        known = {field.text for field in self.letters()} | self.params
        return letter in words and words <= known and not sum_.text.startswith(AT_LEAST) and " or " not in sum_.text

    def _bounded(self, field: Field) -> Iterator[Wrong]:
        """Conditions on a letter: it divides another, or is at most another."""
        values = {other.text: other.extent for other in self.letters()}
        for small, large in [
            pair for text in self.texts.values() for rule in (DIVIDES, AT_MOST) for pair in rule.findall(text)
        ]:
            if field.text == small and large in values:
                yield Wrong(field.tensor, field.dimension, values[large] + 1)

    def _in_words(self, name: str) -> Iterator[Wrong]:
        text, extents = self.texts[name], self.extents
        if text.startswith("one element"):
            yield Wrong(name, 0, 2)
        elif text.startswith("as many elements as"):
            yield from self._near(name, [0])
        elif found := re.match(r"every extent divides that of (\w+)", text):
            large = extents.get(found[1], extents[RESULT])
            yield from (Wrong(name, at, large[at] + 1) for at in range(DIMENSIONS))
        elif text.startswith("every extent is a multiple of that of dst"):
            yield from (Wrong(name, at, extents[name][at] + 1) for at in range(DIMENSIONS) if extents[RESULT][at] > 1)
        elif found := re.match(r"no more elements than (\w+)", text):
            yield Wrong(name, 0, prod(extents[found[1]]) + 1)


def _extents(text: str) -> Extents:
    ne = [int(extent) for extent in text.split()[1:]]
    return (*ne, *(1,) * (DIMENSIONS - len(ne)))
