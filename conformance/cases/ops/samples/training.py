"""Samples of losses, optimisers and the gradient of attention."""

from functools import partial

import numpy as np

from conformance.cases.graph.build import node
from conformance.cases.ops.blocks.draw import Draw, held
from conformance.cases.ops.definitions.attention import attention_back
from conformance.cases.ops.definitions.training import adamw, cross_entropy, cross_entropy_back, sgd
from conformance.cases.ops.sample import Book, Sample, onto, result, sampled, within
from conformance.cases.ops.tolerance import tolerance_of

__all__ = ["BOOK"]

BOOK = Book()
_sample = BOOK.sample

EXTENTS = (67, 3, 2, 2)


def _labels(draw: Draw, *ne: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    values = draw.floats(*ne, low=0, high=1).values
    return np.asarray(values / values.sum(-1, keepdims=True))


@_sample("CROSS_ENTROPY_LOSS", "f32")
def _loss(draw: Draw) -> Sample:
    """The loss of five rows"""
    logits, labels = draw.floats(67, 5, low=-3, high=3), held(_labels(draw, 67, 5)[0, 0])
    return result("CROSS_ENTROPY_LOSS", cross_entropy(logits.values, labels.values), logits, labels)


@_sample("CROSS_ENTROPY_LOSS_BACK", "f32")
def _loss_back(draw: Draw) -> Sample:
    """The gradient of the loss of five rows"""
    grad, logits = draw.floats(1), draw.floats(67, 5, low=-3, high=3)
    labels = held(_labels(draw, 67, 5)[0, 0])
    want = cross_entropy_back(grad.values, logits.values, labels.values)
    return result("CROSS_ENTROPY_LOSS_BACK", want, grad, logits, labels)


@_sample("OPT_STEP_ADAMW", "f32")
def _adamw(draw: Draw) -> Sample:
    """One step; m and v are written too"""
    w, grad, m = (draw.floats(*EXTENTS) for _ in range(3))
    v = draw.floats(*EXTENTS, low=0, high=1)
    pars = held(np.array([0.01, 0.9, 0.99, 1e-5, 0.1, 1.5, 1.25]))
    wanted = adamw(w.values, grad.values, m.values, v.values, pars.values)
    made = node("OPT_STEP_ADAMW", "F32", EXTENTS, *(each.tensor for each in (w, grad, m, v, pars)), onto=w.tensor)
    allowed = tolerance_of("OPT_STEP_ADAMW", ("F32",))
    results = zip((made, m.tensor, v.tensor), wanted, strict=True)
    return sampled(*(within(tensor, want, allowed) for tensor, want in results))


@_sample("OPT_STEP_SGD", "f32")
def _sgd(draw: Draw) -> Sample:
    """One step"""
    w, grad, pars = draw.floats(*EXTENTS), draw.floats(*EXTENTS), held(np.array([0.01, 0.1]))
    return onto(result("OPT_STEP_SGD", sgd(w.values, grad.values, pars.values), w, grad, pars), w.tensor)


def _attention_back(draw: Draw, masked: int) -> Sample:
    d, n, m, h, s = 16, 4, 8, 2, 2
    q, k = draw.floats(d, n, h, s), draw.floats(d, m, h, s)
    v, grad = draw.floats(m, d, h, s), draw.floats(d, n, h, s)
    gradients = attention_back(q.values, k.values, v.values, grad.values, bool(masked))
    want = np.concatenate([each.reshape(-1) for each in gradients])
    return result("FLASH_ATTN_BACK", want, q, k, v, grad, params={"masked": masked})


for _masked, _words in ((0, "whole"), (1, "causal")):
    BOOK.add(
        "FLASH_ATTN_BACK", _words, f"The gradients of attention, {_words}", partial(_attention_back, masked=_masked)
    )
