"""Servers that compute wrongly in one thing each, with the cases that have to find it."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conformance.cases.ops.blocks.formats import Array
from conformance.cases.ops.definitions.elementwise import like
from conformance.tests.ops.computing import Computing, Node
from spec.dialect import TypeDef

__all__ = ["WRONG"]


class DividesIndices(Computing):
    def repeated(self, b: Array, shape: tuple[int, ...]) -> Array:
        for axis, extent in enumerate(shape):
            b = b.repeat(extent // b.shape[axis], axis)
        return b


class SharesModulo(Computing):
    def for_batch(self, w: Array, x: Array) -> Array:
        return like(w, (*x.shape[:2], *w.shape[2:]))


class CutsHalves(Computing):
    """Rounds towards 0 into F16."""

    def rounded(self, kind: TypeDef, values: Array) -> NDArray[Any]:
        stored = super().rounded(kind, values)
        if kind.name != "F16":
            return stored
        over = np.abs(stored.astype(np.float64)) > np.abs(values)
        return np.where(over, np.nextafter(stored, np.float16(0)), stored)


class RoundsToWhole(Computing):
    """Rounds to nearest where fractions are to be cut off."""

    def rounded(self, kind: TypeDef, values: Array) -> NDArray[Any]:
        return super().rounded(kind, np.rint(values) if kind.kind == "integer" else values)


class IgnoresIndices(Computing):
    def chosen(self, ids: Array) -> Array:
        return np.broadcast_to(np.arange(ids.shape[-1], dtype=np.float64), ids.shape)


class CopiesOtherOrder(Computing):
    """Walks dimension 1 fastest."""

    def copied(self, node: Node) -> Array:
        return node.operand(0).swapaxes(2, 3).reshape(-1)


class SumsInHalves(Computing):
    def op_sum_rows(self, node: Node) -> Array:
        return np.asarray(node.operand(0).sum(-1, keepdims=True, dtype=np.float16).astype(np.float64))


class AlwaysAscends(Computing):
    def descends(self, node: Node) -> bool:
        return False


class ForgetsEps(Computing):
    def op_rms_norm(self, node: Node) -> Array:
        x = node.operand(0)
        return np.asarray(x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True)))


class ForgetsBias(Computing):
    def op_scale(self, node: Node) -> Array:
        return node.operand(0) * node.real(0)


class CoarseProducts(Computing):
    """Rounds the right side to 4 bits a code, whatever the weights."""

    def as_partner(self, x: Array) -> Array:
        step = np.abs(x).max(-1, keepdims=True) / 7
        return np.asarray(np.rint(x / step) * step)


class SmallestOfAll(Computing):
    def op_top_k(self, node: Node) -> Array:
        return np.argsort(node.operand(0), axis=-1)[..., : node.out.shape[-1]].astype(np.float64)


WRONG: Mapping[type[Computing], frozenset[str]] = {
    DividesIndices: frozenset(
        {
            "OP-BROADCAST/broadcast-in-all-dimensions",
            *(f"OP-{op}/half" for op in ("ADD", "SUB", "MUL", "DIV")),
        }
    ),
    SharesModulo: frozenset(
        {
            *("OP-BROADCAST/groups-f32", "OP-BROADCAST/groups-twice-f32"),
            *(f"OP-MUL_MAT/{slug}-{kind}" for slug in ("groups", "groups-twice") for kind in ("f16", "q8-0")),
            *("OP-MUL_MAT/permuted-f16", "OP-MUL_MAT/permuted-f32"),
        }
    ),
    CutsHalves: frozenset(
        {
            *("OP-CONVERT/ties-to-even-f16", "OP-CPY/f32-to-f16", "OP-DUP/f32-to-f16"),
            *("OP-SET_ROWS/f16-i32", "OP-SET_ROWS/f16-i64", "OP-SET_ROWS/rows-of-one-element"),
        }
    ),
    RoundsToWhole: frozenset({"OP-CONVERT/towards-zero"}),
    IgnoresIndices: frozenset({"OP-SET_ROWS/"}),
    CopiesOtherOrder: frozenset(
        {
            *("OP-CPY/", "OP-DUP/", "OP-CONT/", "OP-ORDER/"),
            *("OP-RESHAPE/", "OP-VIEW/", "OP-PERMUTE/", "OP-TRANSPOSE/"),
        }
    ),
    SumsInHalves: frozenset({"OP-SUM_ROWS/"}),
    AlwaysAscends: frozenset({"OP-ARGSORT/descending", "OP-ARGSORT/long-rows"}),
    ForgetsEps: frozenset({"OP-RMS_NORM/"}),
    ForgetsBias: frozenset({"OP-SCALE/bias", "OP-SCALE/fill"}),
    CoarseProducts: frozenset(
        {
            "OP-MUL_MAT/",
            *(f"OP-ACCURACY/long-rows-{kind}" for kind in ("f32", "f16", "q8-0")),
            *("OP-BROADCAST/groups-f32", "OP-BROADCAST/groups-twice-f32", "OP-BROADCAST/shared-f32"),
        }
    ),
    SmallestOfAll: frozenset({"OP-TOP_K/k-1", "OP-TOP_K/k-8"}),
}
"""server > the cases that it fails; all of a clause that the right one passes, where the slug is left out"""
