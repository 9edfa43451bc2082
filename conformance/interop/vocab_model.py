"""Small GGUF files for comparing tokenizers: a vocabulary, a pre-tokenizer name, and no more weights than needed.

Two vocabularies are worth comparing with. A real model's, because it is real; but most of its merges are English, so
that in other scripts a word cut in the wrong place often gives the same bytes one by one. And one in which every two
bytes merge: there nearly every wrong cut shifts the pairs after it.
"""

from collections.abc import Sequence
from pathlib import Path

import attrs
import numpy as np
from gguf import GGUFReader, GGUFWriter
from gguf.constants import TokenType

__all__ = ["Vocabulary", "pair_vocabulary", "read_vocabulary", "write_vocab_model"]

WIDTH = 32
"""of the model's weights, which are zeros"""


@attrs.frozen(eq=False)
class Vocabulary:
    """A byte-level BPE vocabulary; eos doubles as bos."""

    tokens: Sequence[str]
    types: Sequence[int]
    merges: Sequence[str]
    eos: int


def read_vocabulary(path: str) -> Vocabulary:
    """The vocabulary of a GGUF file; KeyError if it has none."""
    fields = GGUFReader(path).fields
    parts = [fields[f"tokenizer.ggml.{key}"].contents() for key in ("tokens", "token_type", "merges", "eos_token_id")]
    return Vocabulary(*parts)


def pair_vocabulary() -> Vocabulary:
    """One control token, the 256 bytes in byte-level spelling, and every two of them as a token."""
    shown = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    hidden = [byte for byte in range(256) if byte not in set(shown)]
    letters = [chr(byte) for byte in shown] + [chr(256 + i) for i in range(len(hidden))]
    pairs = [(first, second) for first in letters for second in letters]
    tokens = ["<|endoftext|>", *letters, *("".join(pair) for pair in pairs)]
    types = [TokenType.CONTROL] + [TokenType.NORMAL] * (len(tokens) - 1)
    return Vocabulary(tokens, types, [" ".join(pair) for pair in pairs], 0)


def write_vocab_model(vocabulary: Vocabulary, pre: str, target: Path) -> None:
    """Write a one-layer Llama of zeros with this vocabulary and the pre-tokenizer name `pre`."""
    writer = GGUFWriter(target, "llama")
    writer.add_block_count(1)
    writer.add_context_length(128)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(WIDTH)
    writer.add_head_count(1)
    writer.add_head_count_kv(1)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(vocabulary.tokens)
    writer.add_token_types(vocabulary.types)
    writer.add_token_merges(vocabulary.merges)
    writer.add_bos_token_id(vocabulary.eos)
    writer.add_eos_token_id(vocabulary.eos)
    writer.add_add_bos_token(False)
    for name, shape in _weights(len(vocabulary.tokens)).items():
        writer.add_tensor(name, np.zeros(shape, np.float32 if len(shape) == 1 else np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _weights(n_vocab: int) -> dict[str, tuple[int, ...]]:
    """Shapes, slowest dimension first as numpy has them."""
    square = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")
    return {
        "token_embd.weight": (n_vocab, WIDTH),
        "output_norm.weight": (WIDTH,),
        "blk.0.attn_norm.weight": (WIDTH,),
        "blk.0.ffn_norm.weight": (WIDTH,),
        **{f"blk.0.{part}.weight": (WIDTH, WIDTH) for part in square},
    }
