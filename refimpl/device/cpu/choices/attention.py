"""FLASH_ATTN_EXT: one key after the other or tiles of many, as ggml has it (kernels/cpu/ops/attention/by_keys.py)."""

from refimpl.device.cpu.choices.node import Choice, Node
from refimpl.kernels.cpu.ops.attention import by_keys, tiled
from spec.names import Type

__all__ = ["attended"]

CACHED = (
    *(Type.F32, Type.F16, Type.BF16),
    *(Type.Q4_0, Type.Q4_1, Type.Q5_0, Type.Q5_1, Type.Q8_0),
)
"""types of keys and of values"""
TILED = (Type.F32, Type.F16)
"""types that keys and values may share for ggml to work on tiles"""


def attended(node: Node) -> Choice:
    """Keys and values in any two of the types. Raises KeyError for others."""
    keys, values = node.given(1), node.given(2)
    if keys not in CACHED or values not in CACHED:
        raise KeyError
    d, dv, extra = node.shapes[0][0], node.dst_shape[0], (int(keys), int(values))
    if keys == values and keys in TILED and _is_large(node):
        return Choice(tiled.flash_attention, extra, tiled.scratch_bytes(d, dv, node.shapes[1][1]))
    return Choice(by_keys.flash_attention_by_keys, extra, by_keys.scratch_bytes(d, dv))


def _is_large(node: Node) -> bool:
    """Whether ggml does not go key by key, or its result depends on its number of threads."""
    (_, queries, _, sequences), keys = node.shapes[0], node.shapes[1][1]
    if queries == sequences == 1:
        return keys >= by_keys.SPLIT_KEYS
    return queries >= by_keys.FEW_QUERIES
