"""What one run of the main host was asked for: the values behind its flags, checked against each other. Pure.

Meanings and defaults are those of llama-completion's `--help`.
"""

import re
from enum import Enum

import attrs

from refimpl.errors import UsageError
from refimpl.model.gguf.storage import LoadMode
from refimpl.model.rotation import quantised
from refimpl.model.sampler import SamplerParams
from refimpl.service.channel import Patience
from spec.names import Type

__all__ = ["DEFAULT_PATIENCE", "NO_LIMIT", "UNTIL_FULL", "FlashAttention", "Layers", "Options", "Override"]

NO_LIMIT = -1
"""-n: until the text ends by itself or the context is full"""
UNTIL_FULL = -2
"""-n: until the context is full"""
DEFAULT_PATIENCE = Patience(reply=10.0, computing=600.0)
"""seconds; a first graph may wait for a compiler, and a long prompt takes minutes on a slow node"""


class Layers(Enum):
    """-ngl in words."""

    AUTO = "auto"
    """as many as the free memory of the devices allows"""
    ALL = "all"


class FlashAttention(Enum):
    """-fa: how attention is computed. AUTO is on: every device here has the kernel."""

    ON = "on"
    OFF = "off"
    AUTO = "auto"

    @property
    def enabled(self) -> bool:
        return self is not FlashAttention.OFF


@attrs.frozen
class Override:
    """One pattern and the name of a device."""

    pattern: str
    device: str

    @classmethod
    def parse(cls, text: str) -> "Override":
        """``PATTERN=DEVICE``, divided at the first ``=``. Raises ValueError with what is wrong."""
        pattern, equals, device = text.partition("=")
        if not equals or not pattern or not device:
            raise ValueError(f"'{text}' is no PATTERN=DEVICE")
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(f"'{pattern}' is no regular expression: {error}") from None
        return cls(pattern, device)


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
    gpu_layers: int | Layers = Layers.AUTO
    tensor_split: tuple[float, ...] = ()
    rpc: tuple[str, ...] = ()
    """endpoints, each ``host:port``"""
    proto: str | None = None
    """protocol version to speak with all of them; None: the newest that each takes"""
    devices: tuple[str, ...] | None = None
    """names in the order of use, empty for none, None for all"""
    overrides: tuple[Override, ...] = ()
    """weights with a device of their own"""
    patience: Patience = DEFAULT_PATIENCE
    """the longest silences of a node"""
    load_mode: LoadMode = LoadMode.AUTO
    cache_type_k: Type = Type.F16
    cache_type_v: Type = Type.F16
    flash: FlashAttention = FlashAttention.AUTO
    sampling: SamplerParams = attrs.field(factory=SamplerParams)
    seed: int = -1
    """of the choice between tokens; -1: a new one for every run"""
    ignore_eos: bool = False
    """tokens that end a text are never chosen"""
    escape: bool = True
    """the prompt's backslash escapes are read"""
    list_devices: bool = False
    dry_run: bool = False
    """tell what would go where, and stop"""
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
        if quantised(self.cache_type_v) and not self.flash.enabled:
            raise UsageError(
                f"-ctv {self.cache_type_v.name.lower()} needs flash attention, as every quantised V cache: "
                "leave out -fa off, or take f16"
            )
        if self.tensor_split and (not self.rpc or self.devices == ()):
            raise UsageError("-ts divides layers among devices and there are none: add --rpc host:port")
