"""Metadata of a GGUF file > the numbers that shape a Llama graph. Pure; knows keys and defaults, no tensors.

A default is the one that llama.cpp takes for a missing key. What this graph cannot express (mixture of experts,
biased or non-causal attention, heads that differ per layer, other rope scalings) is refused here, by name, before a
byte is uploaded.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import attrs
import numpy as np

from refimpl.errors import ModelError
from refimpl.graph.define import Rope

__all__ = ["ARCHITECTURES", "Hparams", "read_hparams"]

ARCHITECTURES = ("llama",)
ROPE_SCALINGS = ("none", "linear", "yarn")
DEFAULT_FREQ_BASE = 10000.0
ABSENT = object()


@attrs.frozen(kw_only=True)
class Hparams:
    """What a Llama graph is built from. Lengths are in elements, context in tokens."""

    arch: str
    n_layer: int
    n_embd: int
    n_head: int
    n_head_kv: int
    """heads of K and V; divides n_head"""
    n_embd_head_k: int
    n_embd_head_v: int
    n_ff: int
    n_vocab: int
    n_ctx_train: int
    rms_eps: float
    attention_scale: float
    """factor on q.k before the mask is added"""
    rope: Rope
    tied_output: bool
    """the output matrix is the token embedding"""

    @property
    def n_embd_k_gqa(self) -> int:
        """Elements of one K cell of one layer."""
        return self.n_embd_head_k * self.n_head_kv

    @property
    def n_embd_v_gqa(self) -> int:
        """Elements of one V cell of one layer."""
        return self.n_embd_head_v * self.n_head_kv


@attrs.frozen
class _Metadata:
    """Typed look-ups; every failure names the file and the key."""

    path: str
    pairs: Mapping[str, Any]
    arch: str

    def number(self, key: str, default: Any = ABSENT, convert: Callable[[Any], Any] = int) -> Any:
        full = f"{self.arch}.{key}"
        value = self.pairs.get(full, default)
        if value is ABSENT:
            raise ModelError(self.path, f"metadata key '{full}' is missing; convert the model again")
        if isinstance(value, np.ndarray):
            value = self._one_for_all_layers(full, value)
        if isinstance(value, (str, list)):
            raise ModelError(self.path, f"metadata key '{full}' is not a number; convert the model again")
        return convert(value)

    def positive(self, key: str, default: Any = ABSENT) -> int:
        value = int(self.number(key, default))
        if value <= 0:
            raise ModelError(self.path, f"metadata key '{self.arch}.{key}' is {value}, it must be above 0")
        return value

    def _one_for_all_layers(self, full: str, values: np.ndarray[Any, Any]) -> Any:
        if values.size == 0 or bool((values != values[0]).any()):
            raise ModelError(self.path, f"metadata key '{full}' differs from layer to layer, which is not served")
        return values[0].item()


def read_hparams(path: str, pairs: Mapping[str, Any], n_vocab: int, tied_output: bool) -> Hparams:
    """Hparams from metadata; n_vocab and tied_output come from the tensors. Raises ModelError."""
    meta = _Metadata(path, pairs, _architecture(path, pairs))
    _refuse_what_is_not_served(meta)
    n_embd = meta.positive("embedding_length")
    n_head = meta.positive("attention.head_count")
    n_head_kv = meta.positive("attention.head_count_kv", n_head)
    n_embd_head_k = meta.positive("attention.key_length", n_embd // n_head)
    if n_head % n_head_kv:
        raise ModelError(path, f"{n_head} attention heads cannot share {n_head_kv} K/V heads")
    return Hparams(
        arch=meta.arch,
        n_layer=meta.positive("block_count"),
        n_embd=n_embd,
        n_head=n_head,
        n_head_kv=n_head_kv,
        n_embd_head_k=n_embd_head_k,
        n_embd_head_v=meta.positive("attention.value_length", n_embd // n_head),
        n_ff=meta.positive("feed_forward_length"),
        n_vocab=n_vocab,
        n_ctx_train=meta.positive("context_length"),
        rms_eps=meta.number("attention.layer_norm_rms_epsilon", convert=float),
        attention_scale=meta.number("attention.scale", 0.0, float) or 1.0 / math.sqrt(n_embd_head_k),
        rope=_rope(meta, n_embd_head_k),
        tied_output=tied_output,
    )


def _architecture(path: str, pairs: Mapping[str, Any]) -> str:
    arch = pairs.get("general.architecture")
    if arch not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        raise ModelError(path, f"architecture {arch!r} is not served; known architectures: {known}")
    return str(arch)


def _refuse_what_is_not_served(meta: _Metadata) -> None:
    if meta.number("expert_count", 0) > 0:
        raise ModelError(meta.path, "a mixture of experts is not served; use a dense model")
    if not meta.number("attention.causal", True, bool):
        raise ModelError(meta.path, "non-causal attention is not served; use a text generation model")
    if meta.number("attention.clamp_kqv", 0.0, float):
        raise ModelError(meta.path, "attention.clamp_kqv is not served")


def _rope(meta: _Metadata, n_embd_head_k: int) -> Rope:
    n_dims = meta.positive("rope.dimension_count", n_embd_head_k)
    if n_dims > n_embd_head_k or n_dims % 2:
        raise ModelError(
            meta.path, f"rope.dimension_count {n_dims} must be even and at most the head size {n_embd_head_k}"
        )
    kind = meta.pairs.get(f"{meta.arch}.rope.scaling.type", "linear")
    if kind not in ROPE_SCALINGS:
        raise ModelError(meta.path, f"rope scaling {kind!r} is not served; known: {', '.join(ROPE_SCALINGS)}")
    factor = meta.number("rope.scaling.factor", meta.number("rope.scale_linear", 0.0, float), float)
    scaled = kind != "none" and factor != 0.0
    return Rope(
        n_dims=n_dims,
        n_ctx_orig=meta.positive("rope.scaling.original_context_length", meta.positive("context_length")),
        freq_base=meta.number("rope.freq_base", DEFAULT_FREQ_BASE, float),
        freq_scale=1.0 / factor if scaled else 1.0,
        ext_factor=1.0 if kind == "yarn" else 0.0,
        attn_factor=meta.number("rope.scaling.attn_factor", 1.0, float),
    )
