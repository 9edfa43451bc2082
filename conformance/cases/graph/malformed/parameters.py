"""GRAPH-18 for parameters: whole numbers for which an op does not say what it computes.

Rules
- A parameter is wrong in what it asks for, and everything else of the node is as sound as it can be made: where the
  extents of a result follow from a parameter, they follow from the wrong one too if that can be.
- Floats are not asked about: whatever they hold, arithmetic has a result.
- Each op has one case, in which one value after the other is wrong; the first that is not refused is named.
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import partial

import attrs

from conformance.cases.graph.build import Graph, Param
from conformance.cases.graph.malformed.operands import Variant, each_refused, since
from conformance.cases.graph.malformed.sound import SOUND, Sound
from conformance.cases.samples import slug
from conformance.judge.case import Case, Section
from conformance.judge.codec import Codec

__all__ = ["CASES", "WRONG", "Values"]

_section = Section()
CASES = _section.cases

TOP, BOTTOM = (1 << 31) - 1, -(1 << 31)
UNKNOWN = 77
"""a code that no enumeration has"""


@attrs.frozen(kw_only=True)
class Values:
    """Parameters that are not as in the sound node; so are, if given, extents of the result and of operands by slot."""

    params: Mapping[str, Param]
    result: str = ""
    operands: Mapping[int, str] = attrs.field(factory=dict)

    def __str__(self) -> str:
        return ", ".join(f"{name} = {value}" for name, value in self.params.items())

    def graph(self, sound: Sound) -> Graph:
        """The sound node with these values."""
        operands = [self.operands.get(slot, text) for slot, text in enumerate(sound.operands)]
        params = {**sound.params, **self.params}
        return attrs.evolve(sound, params=params, operands=operands, result=self.result or sound.result).graph()


def _say(**params: Param) -> Values:
    return Values(params=params)


def _each(name: str, *values: int) -> list[Values]:
    return [Values(params={name: value}) for value in values]


BATCHED = {1: "F32 3 2 2"}
"""a window of two matrices"""
ONE_PLANE: Mapping[str, Param] = {"sections": (2, 1, 1, 0)}

WINDOWS = [
    *_each("offset", -4, 96, 92, TOP, BOTTOM),
    *_each("nb1", -24, 96, TOP, BOTTOM),
    Values(params={"nb1": -1000, "nb2": 1000}, operands=BATCHED),
    Values(params={"nb1": 1000, "nb2": -1000}, operands=BATCHED),
    Values(params={"nb2": -32}, operands=BATCHED),
    Values(params={"nb2": TOP}, operands=BATCHED),
]
"""the window has to lie inside dst, with every one of its elements and not only with its last"""

ROTATIONS = [
    *_each("n_dims", -2, 10, 16, TOP, BOTTOM),
    *_each("n_offs", -2, 2, TOP, BOTTOM),
    *_each("mode", 1, 3, UNKNOWN, -1),
    Values(params={"mode": 8, **ONE_PLANE}),
    Values(params={"mode": 40, **ONE_PLANE}),
    Values(params={"mode": 8, "sections": (0, 0, 0, 0)}, operands={1: "I32 12"}),
    Values(params={"mode": 24, "n_dims": 8, **ONE_PLANE}, operands={1: "I32 12"}),
]
"""channels inside a row, modes that there are, four positions with those of M-RoPE, sections to count by"""

STRIDES_OF_TWO = ("s0", "s1")
FLAT = [values for name in STRIDES_OF_TWO for values in _each(name, 0, -1, BOTTOM)]
FLAT += [values for name in ("p0", "p1") for values in _each(name, -1, TOP)]
FLAT += [values for name in ("d0", "d1") for values in _each(name, 0, -1, TOP)]
DEEP = [_say(s=(0, 1, 1)), _say(s=(1, 1, 0)), _say(s=(1, -1, 1)), _say(p=(-1, 0, 0)), _say(d=(1, 1, TOP))]
DEEP += _each("ic", 0, -4, 3, TOP)
POOLED = [*_each("op", 2, -1, UNKNOWN), *_each("k0", 0, -3, TOP), *_each("s0", 0, -2, BOTTOM), *_each("p0", -1, TOP)]
POOLED_FLAT = [*POOLED, *_each("k1", 0, -2, TOP), *_each("s1", 0, -3), *_each("p1", -1, TOP)]

WRONG: Mapping[str, list[Values]] = {
    "ACC": WINDOWS,
    "SET": WINDOWS,
    "CONCAT": _each("dim", 4, -1, TOP, BOTTOM),
    "GROUP_NORM": _each("n_groups", 0, -1, BOTTOM),
    "ROPE": ROTATIONS,
    "ROPE_BACK": ROTATIONS,
    "CONV_TRANSPOSE_1D": _each("s0", 0, -2, TOP),
    "IM2COL": FLAT,
    "IM2COL_BACK": FLAT,
    "IM2COL_3D": DEEP,
    "COL2IM_1D": [*_each("s0", 0, -2, TOP), *_each("oc", 0, -4, 5, TOP), *_each("p0", -1, TOP)],
    "CONV_2D": FLAT,
    "CONV_3D": [*DEEP, *_each("n", 0, -1, 3, TOP), *_each("oc", 0, -3, 4, TOP)],
    "CONV_2D_DW": FLAT,
    "CONV_TRANSPOSE_2D": _each("stride", 0, -2, TOP),
    "POOL_1D": POOLED,
    "POOL_2D": POOLED_FLAT,
    "POOL_2D_BACK": POOLED_FLAT,
    "UPSCALE": _each("mode", 3, UNKNOWN, 255),
    "PAD": [_say(pads=(TOP, TOP, 0, 1, 0, 0, 0, 0)), _say(pads=(1, 2, 0, BOTTOM, 0, 0, 0, 0)), _say(pads=(0,) * 8)],
    "PAD_REFLECT_1D": [
        Values(params={"p0": 6, "p1": 2}, result="F32 14 4 2 3"),
        Values(params={"p0": 0, "p1": 7}, result="F32 13 4 2 3"),
        *_each("p0", TOP, BOTTOM),
    ],
    "ARANGE": [_say(step=0.0), _say(step=-1.0)],
    "TIMESTEP_EMBEDDING": _each("dim", 0, -8, 9, TOP),
    "ARGSORT": _each("order", 2, -1, UNKNOWN),
    "TRI": _each("kind", 4, -1, UNKNOWN),
    "SSM_SCAN": _each("K", -1, 2, 6, TOP, BOTTOM),
    "WIN_PART": [*_each("w", 0, -2, 3, TOP), *_each("npx", 0, -3, 4), *_each("npy", 0, 3, BOTTOM)],
    "WIN_UNPART": _each("w", 0, -2, 3, TOP),
    "GATED_DELTA_NET": _each("K", -1, 2, 100, TOP, BOTTOM),
    "DSV4_HC_COMB": _each("n_iter", 0, -1, BOTTOM),
    "UNARY": _each("kind", -1, UNKNOWN, TOP),
    "GLU": _each("kind", -1, UNKNOWN, TOP),
}
"""by op"""
REPORTS = {"ACC": "llama.cpp#25764", "SET": "llama.cpp#25764", "GATED_DELTA_NET": "llama.cpp#25704"}
KINDS = {"UNARY": "Unary", "GLU": "Glu"}


def _variants(sound: Sound, codec: Codec) -> Iterable[Variant]:
    for values in (*WRONG[sound.op], *_first_unknown(sound.op, codec)):
        yield str(values), values.graph(sound)


def _first_unknown(op: str, codec: Codec) -> Iterator[Values]:
    """The first code behind those that the dialect has."""
    if op in KINDS:
        yield _say(kind=max(entry.value for entry in codec.dialect.enums[KINDS[op]].values) + 1)


for _op in WRONG:
    _section.add(
        Case(
            id=f"GRAPH-18/{slug(_op)}-parameters",
            title=f"A {_op} node with a parameter for which it says nothing closes the connection",
            script=partial(each_refused, partial(_variants, SOUND[_op])),
            since=since(_op),
            upstream=REPORTS.get(_op, ""),
        )
    )
