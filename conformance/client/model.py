"""The model that clients are judged with: a Llama of one layer, made on the spot, with something for every command.

Rules
- Rows of quantised weights are no multiple of 512 elements, so that a client asks what they need (ALLOC-13) and
  announces them (INIT-4).
- One weight is over 10 MiB, so that a client offers it by its hash (CACHE-2); it also fills the socket of a server that
  stops reading.
- Weights come from a fixed seed, the vocabulary is bytes: the text is nonsense, and the same each time.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType, GGUFWriter
from gguf.quants import quantize
from numpy.typing import NDArray

from conformance.interop.vocab_model import Vocabulary, pair_vocabulary

__all__ = ["write_model"]

SEED = 42
WIDTH, FEED_FORWARD, CONTEXT = 64, 41984, 256
"""the matrix of FEED_FORWARD columns and WIDTH rows of F32 has 10.25 MiB"""
HEADS, KV_HEADS = 4, 2
LETTERS = 256
QUANTISED = GGMLQuantizationType.Q4_0


def _vocabulary() -> Vocabulary:
    """The bytes, and the pairs that begin with the first of them."""
    whole = pair_vocabulary()
    count = 1 + 2 * LETTERS
    return Vocabulary(whole.tokens[:count], whole.types[:count], whole.merges[:LETTERS], whole.eos)


def write_model(target: Path) -> Path:
    """Write the GGUF file; returns `target`."""
    vocabulary = _vocabulary()
    writer = GGUFWriter(target, "llama")
    writer.add_block_count(1)
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(vocabulary.tokens)
    writer.add_token_types(vocabulary.types)
    writer.add_token_merges(vocabulary.merges)
    writer.add_bos_token_id(vocabulary.eos)
    writer.add_eos_token_id(vocabulary.eos)
    writer.add_add_bos_token(False)
    for name, values, stored in _weights(len(vocabulary.tokens)):
        packed = quantize(values, stored) if stored is QUANTISED else values.astype(_NUMPY[stored])
        writer.add_tensor(name, packed, raw_dtype=stored)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return target


_NUMPY = {GGMLQuantizationType.F32: np.float32, GGMLQuantizationType.F16: np.float16}


def _weights(n_vocab: int) -> Iterator[tuple[str, NDArray[np.float32], GGMLQuantizationType]]:
    """Names, values and types; shapes have the slowest dimension first, as numpy has them."""
    random = np.random.default_rng(SEED)
    keys = WIDTH // HEADS * KV_HEADS
    plain, half = GGMLQuantizationType.F32, GGMLQuantizationType.F16
    shapes = {
        "token_embd": ((n_vocab, WIDTH), half),
        "output": ((n_vocab, WIDTH), half),
        "blk.0.attn_q": ((WIDTH, WIDTH), QUANTISED),
        "blk.0.attn_k": ((keys, WIDTH), QUANTISED),
        "blk.0.attn_v": ((keys, WIDTH), QUANTISED),
        "blk.0.attn_output": ((WIDTH, WIDTH), QUANTISED),
        "blk.0.ffn_gate": ((FEED_FORWARD, WIDTH), QUANTISED),
        "blk.0.ffn_up": ((FEED_FORWARD, WIDTH), QUANTISED),
        "blk.0.ffn_down": ((WIDTH, FEED_FORWARD), plain),
    }
    for name, (shape, stored) in shapes.items():
        scale = np.float32(shape[1] ** -0.5)
        yield f"{name}.weight", random.standard_normal(shape, np.float32) * scale, stored
    for name in ("output_norm", "blk.0.attn_norm", "blk.0.ffn_norm"):
        yield f"{name}.weight", np.ones(WIDTH, np.float32), plain
