"""What one run of the main host was asked for: the values behind its flags, checked against each other. Pure.

Meanings and defaults are those of llama-completion's `--help`.
"""

from enum import Enum

import attrs

from refimpl.errors import UsageError
from refimpl.model.sampler import SamplerParams

__all__ = ["ALL_LAYERS", "NO_LIMIT", "UNTIL_FULL", "FlashAttention", "Options"]

NO_LIMIT = -1
"""-n: until the text ends by itself or the context is full"""
UNTIL_FULL = -2
"""-n: until the context is full"""
ALL_LAYERS = None
"""-ngl auto, all, or left out"""


class FlashAttention(Enum):
    """-fa: how attention is computed. AUTO is on: every device here has the kernel."""

    ON = "on"
    OFF = "off"
    AUTO = "auto"

    @property
    def enabled(self) -> bool:
        return self is not FlashAttention.OFF


@attrs.frozen(kw_only=True)
class Options:
    """One run of the main host."""

    model: str = ""
    prompt: str = ""
    predict: int = NO_LIMIT
    """tokens to make, or NO_LIMIT, or UNTIL_FULL"""
    ctx_size: int = 0
    """tokens; 0: what the model was trained with"""
    batch: int = 2048
    """tokens of one logical batch"""
    ubatch: int = 512
    """tokens of one graph"""
    threads: int = -1
    """of the local CPU; below 1: one per core"""
    gpu_layers: int | None = ALL_LAYERS
    tensor_split: tuple[float, ...] = ()
    rpc: tuple[str, ...] = ()
    """endpoints, each ``host:port``"""
    devices: tuple[str, ...] | None = None
    """names in the order of use, empty for none, None for all"""
    flash: FlashAttention = FlashAttention.AUTO
    sampling: SamplerParams = attrs.field(factory=SamplerParams)
    seed: int = -1
    """of the choice between tokens; -1: a new one for every run"""
    ignore_eos: bool = False
    """tokens that end a text are never chosen"""
    escape: bool = True
    """the prompt's backslash escapes are read"""
    list_devices: bool = False
    verbose: bool = False

    def __attrs_post_init__(self) -> None:
        """Raises UsageError, naming the flags, where values do not go together."""
        if self.list_devices:
            return
        if not self.model:
            raise UsageError("-m FNAME is required: the GGUF model to run")
        if self.devices and not self.rpc:
            raise UsageError(f"-dev {','.join(self.devices)} names devices of nodes: add --rpc host:port")
        if len(set(self.rpc)) != len(self.rpc):
            raise UsageError("--rpc names a node twice; name each once and divide with -ts")
        if self.tensor_split and (not self.rpc or self.devices == ()):
            raise UsageError("-ts divides layers among devices and there are none: add --rpc host:port")
