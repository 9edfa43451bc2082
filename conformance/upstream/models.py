"""The models whose numbers are compared: SmolLM2 in several types, and small Llamas of random weights.

SmolLM2's rows have 576 elements, which K-quants do not divide: llama-quantize falls back to other types in a Q4_K_M
file of it. The random Llamas have rows of 256 and 512, so that each of their matrices really has the type asked for.
Their weights come from a fixed seed; their vocabulary is bytes, with as many merges as a reader insists on.
"""

import math
from collections.abc import Sequence
from pathlib import Path

import attrs
import numpy as np
from gguf import GGUFWriter
from numpy.typing import NDArray

from conformance.interop.processes import run_text
from conformance.interop.vocab_model import Vocabulary, pair_vocabulary

__all__ = ["MODELS", "RANDOM", "SMOLLM2", "Model", "quantise", "write_random_llama"]

SMOLLM2, RANDOM = "SmolLM2-135M", "random Llama"


@attrs.frozen
class Model:
    """A model to compare: where it comes from, and the type it is made to."""

    source: str
    type: str

    def __str__(self) -> str:
        return f"{self.source} {self.type}"


MODELS = (
    *(Model(SMOLLM2, type) for type in ("Q4_1", "Q4_0", "Q8_0", "F16", "Q4_K_M")),
    *(Model(RANDOM, type) for type in ("Q4_K", "Q5_K", "Q6_K")),
)
TYPE_AS_SHIPPED = "Q4_1"
SEED = 11434
WIDTH, FEED_FORWARD, LAYERS, CONTEXT = 256, 512, 4, 512
HEADS, KV_HEADS, HEAD = 4, 2, 64
LETTERS = 256
SPREAD = 2.0
"""standard deviation of the logits: what they are matters then to the perplexity"""


async def quantise(programs: Path, model: Model, source: Path, folder: Path, log: Path) -> Path:
    """A file of the model's type, made of `source` by stock's llama-quantize; raises ProcessFailed."""
    if model == Model(SMOLLM2, TYPE_AS_SHIPPED):
        return source
    how = ["--pure"] if model.source == RANDOM else ["--allow-requantize"]
    target = folder / f"{model.source.replace(' ', '-')}-{model.type}.gguf"
    await run_text([str(programs / "llama-quantize"), *how, str(source), str(target), model.type], log)
    return target


def _vocabulary() -> Vocabulary:
    """The bytes, and the pairs that begin with the first of them."""
    whole = pair_vocabulary()
    count = 1 + 2 * LETTERS
    return Vocabulary(whole.tokens[:count], whole.types[:count], whole.merges[:LETTERS], whole.eos)


def write_random_llama(target: Path) -> None:
    """Write the F16 file that the types are made of."""
    vocabulary = _vocabulary()
    writer = GGUFWriter(target, "llama")
    writer.add_block_count(LAYERS)
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(HEAD)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(vocabulary.tokens)
    writer.add_token_types(vocabulary.types)
    writer.add_token_merges(vocabulary.merges)
    writer.add_bos_token_id(vocabulary.eos)
    writer.add_eos_token_id(vocabulary.eos)
    writer.add_add_bos_token(False)
    random = np.random.default_rng(SEED)
    for name, shape in _shapes(len(vocabulary.tokens)):
        writer.add_tensor(name, _weights(random, name, shape))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _weights(random: np.random.Generator, name: str, shape: Sequence[int]) -> NDArray[np.floating]:
    if len(shape) == 1:
        return np.ones(shape, np.float32)
    spread = SPREAD if name == "output.weight" else 1.0
    return (random.standard_normal(shape) * (spread / math.sqrt(shape[-1]))).astype(np.float16)


def _shapes(n_vocab: int) -> list[tuple[str, tuple[int, ...]]]:
    """Names and shapes of the tensors, slowest dimension first as numpy has them."""
    queries, keys = HEADS * HEAD, KV_HEADS * HEAD
    layer = {
        "attn_norm": (WIDTH,),
        "attn_q": (queries, WIDTH),
        "attn_k": (keys, WIDTH),
        "attn_v": (keys, WIDTH),
        "attn_output": (WIDTH, queries),
        "ffn_norm": (WIDTH,),
        "ffn_gate": (FEED_FORWARD, WIDTH),
        "ffn_up": (FEED_FORWARD, WIDTH),
        "ffn_down": (WIDTH, FEED_FORWARD),
    }
    whole = {"token_embd": (n_vocab, WIDTH), "output_norm": (WIDTH,), "output": (n_vocab, WIDTH)}
    blocks = {f"blk.{i}.{part}": shape for i in range(LAYERS) for part, shape in layer.items()}
    return [(f"{name}.weight", shape) for name, shape in {**whole, **blocks}.items()]
