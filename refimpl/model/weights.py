"""Names and shapes of the weights of a Llama model: the one place that knows how GGUF spells them."""

import attrs

from refimpl.model.hparams import Hparams

__all__ = ["OUTPUT", "OUTPUT_NORM", "ROPE_FREQS", "TOKEN_EMBD", "ExpectedWeight", "expected_weights", "layer_weight"]

TOKEN_EMBD = "token_embd.weight"
OUTPUT_NORM = "output_norm.weight"
OUTPUT = "output.weight"
ROPE_FREQS = "rope_freqs.weight"


@attrs.frozen
class ExpectedWeight:
    """A weight that the architecture knows."""

    name: str
    ne: tuple[int, int, int, int]
    required: bool = True


def layer_weight(layer: int, part: str) -> str:
    """Name of a layer's weight; part is such as ``attn_norm``, ``attn_q`` or ``ffn_down``."""
    return f"blk.{layer}.{part}.weight"


def expected_weights(hparams: Hparams) -> tuple[ExpectedWeight, ...]:
    """Every weight of a model of these numbers, optional ones marked."""
    n_embd = hparams.n_embd
    whole = [
        ExpectedWeight(TOKEN_EMBD, (n_embd, hparams.n_vocab, 1, 1)),
        ExpectedWeight(OUTPUT_NORM, (n_embd, 1, 1, 1)),
        ExpectedWeight(OUTPUT, (n_embd, hparams.n_vocab, 1, 1), required=not hparams.tied_output),
        ExpectedWeight(ROPE_FREQS, (hparams.rope.n_dims // 2, 1, 1, 1), required=False),
    ]
    for layer in range(hparams.n_layer):
        whole += [ExpectedWeight(layer_weight(layer, part), (ne0, ne1, 1, 1)) for part, ne0, ne1 in _layer(hparams)]
    return tuple(whole)


def _layer(hparams: Hparams) -> tuple[tuple[str, int, int], ...]:
    n_embd, n_ff = hparams.n_embd, hparams.n_ff
    return (
        ("attn_norm", n_embd, 1),
        ("attn_q", n_embd, hparams.n_embd_head_k * hparams.n_head),
        ("attn_k", n_embd, hparams.n_embd_k_gqa),
        ("attn_v", n_embd, hparams.n_embd_v_gqa),
        ("attn_output", hparams.n_embd_head_v * hparams.n_head, n_embd),
        ("ffn_norm", n_embd, 1),
        ("ffn_gate", n_embd, n_ff),
        ("ffn_up", n_embd, n_ff),
        ("ffn_down", n_ff, n_embd),
    )
