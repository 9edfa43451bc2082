"""The numbers that shape a random Llama model, its weights and its vocabulary. Pure.

Every matrix has one type, every norm is F32. The vocabulary is a byte-level BPE without a language: one control token
that begins and ends texts, one merge, since no reader takes none, the 256 bytes as far as there is room, and unused
names; enough for llama-bench, which takes tokens at random.
"""

from collections.abc import Iterator
from enum import IntEnum

import attrs
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

from refimpl.errors import UsageError
from refimpl.graph.define import Rope
from refimpl.model.hparams import DEFAULT_FREQ_BASE, Hparams
from refimpl.model.weights import expected_weights

__all__ = ["END_OF_TEXT", "MERGE", "ModelShape", "RandomWeight", "TokenKind", "tokens"]

END_OF_TEXT = "<|endoftext|>"
MERGE = ("!", "!")
LEAST_TOKENS = 3
RMS_EPS = 1e-5


class TokenKind(IntEnum):
    """Numbers of tokenizer.ggml.token_type."""

    NORMAL = 1
    CONTROL = 3
    UNUSED = 5


@attrs.frozen
class RandomWeight:
    """One weight to make: a matrix (rows, columns), or a norm (columns,)."""

    name: str
    shape: tuple[int, ...]
    type: GGMLQuantizationType


@attrs.frozen(kw_only=True)
class ModelShape:
    """Counts; the defaults are SmolLM2-135M's."""

    layers: int = 30
    embd: int = 576
    heads: int = 9
    kv_heads: int = 3
    head_size: int = 0
    """elements; 0: embd / heads"""
    ff: int = 1536
    vocab: int = 49152
    ctx: int = 8192
    """tokens of context that the file claims to be trained for"""
    tied: bool = True
    """the token embedding is the output matrix too"""

    def __attrs_post_init__(self) -> None:
        """Raises UsageError, naming the flags, where the numbers make no Llama."""
        for name in ("layers", "embd", "heads", "kv_heads", "ff", "vocab", "ctx"):
            if getattr(self, name) < 1:
                raise UsageError(f"--{name.replace('_', '-')} {getattr(self, name)} must be above 0")
        if self.vocab < LEAST_TOKENS:
            raise UsageError(
                f"--vocab {self.vocab} must be {LEAST_TOKENS} or more: a control token, a byte and a merge"
            )
        if self.heads % self.kv_heads:
            raise UsageError(f"--heads {self.heads} is no multiple of --kv-heads {self.kv_heads}")
        if not self.head_size and self.embd % self.heads:
            raise UsageError(f"--embd {self.embd} is no multiple of --heads {self.heads}: give --head-size")
        if self.head < 2 or self.head % 2:
            raise UsageError(f"heads of {self.head} elements cannot be rotated: --head-size must be even")

    @property
    def head(self) -> int:
        """Elements of a head."""
        return self.head_size or self.embd // self.heads

    def weights(self, kind: GGMLQuantizationType) -> Iterator[RandomWeight]:
        """All weights in file order. Raises UsageError where the blocks of `kind` do not divide a matrix's rows."""
        block = GGML_QUANT_SIZES[kind][0]
        for weight in expected_weights(self._hparams()):
            if not weight.required:
                continue
            columns, rows = weight.ne[:2]
            norm = weight.name.endswith("norm.weight")
            if columns % block and not norm:
                raise UsageError(
                    f"{kind.name} has blocks of {block} elements, which do not divide the {columns} of a row of "
                    f"'{weight.name}': change --embd, --ff or --head-size, or take another --type"
                )
            plain = GGMLQuantizationType.F32
            yield RandomWeight(weight.name, (columns,) if norm else (rows, columns), plain if norm else kind)

    def _hparams(self) -> Hparams:
        return Hparams(
            arch="llama",
            n_layer=self.layers,
            n_embd=self.embd,
            n_head=self.heads,
            n_head_kv=self.kv_heads,
            n_embd_head_k=self.head,
            n_embd_head_v=self.head,
            n_ff=self.ff,
            n_vocab=self.vocab,
            n_ctx_train=self.ctx,
            rms_eps=RMS_EPS,
            attention_scale=self.head**-0.5,
            rope=Rope(n_dims=self.head),
            tied_output=self.tied,
        )

    def metadata(self) -> dict[str, int | float]:
        """Keys of the architecture, without its name."""
        return {
            "vocab_size": self.vocab,
            "context_length": self.ctx,
            "embedding_length": self.embd,
            "block_count": self.layers,
            "feed_forward_length": self.ff,
            "attention.head_count": self.heads,
            "attention.head_count_kv": self.kv_heads,
            "attention.key_length": self.head,
            "attention.value_length": self.head,
            "attention.layer_norm_rms_epsilon": RMS_EPS,
            "rope.dimension_count": self.head,
            "rope.freq_base": DEFAULT_FREQ_BASE,
        }


def tokens(count: int) -> list[tuple[str, TokenKind]]:
    """Spelling and kind of `count` tokens."""
    shown = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    hidden = 256 - len(shown)
    letters = [chr(byte) for byte in shown] + [chr(256 + number) for number in range(hidden)]
    spelled = [letters[0], "".join(MERGE), *letters[1:]]
    known = [(END_OF_TEXT, TokenKind.CONTROL), *((spelling, TokenKind.NORMAL) for spelling in spelled)][:count]
    return known + [(f"<unused{number}>", TokenKind.UNUSED) for number in range(count - len(known))]
