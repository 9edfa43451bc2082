"""rpc_tensor: the 296-byte tensor record as a packed numpy structured dtype, for zero-copy views of message bytes.

Source of the layout: spec/data/structs.toml, struct rpc_tensor (clause TENSOR-1).
"""

import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "GGML_MAX_DIMS",
    "GGML_MAX_NAME",
    "GGML_MAX_OP_PARAMS",
    "GGML_MAX_SRC",
    "RPC_TENSOR",
    "Extents",
    "TensorRecords",
    "geometry",
]

GGML_MAX_DIMS = 4
GGML_MAX_SRC = 10
GGML_MAX_OP_PARAMS = 16
"""in 32-bit words"""
GGML_MAX_NAME = 64

RPC_TENSOR: np.dtype[np.void] = np.dtype(
    [
        ("id", "<u8"),
        ("type", "<u4"),
        ("buffer", "<u8"),
        ("ne", "<u4", (GGML_MAX_DIMS,)),
        ("nb", "<u4", (GGML_MAX_DIMS,)),
        ("op", "<u4"),
        ("op_params", "<i4", (GGML_MAX_OP_PARAMS,)),
        ("flags", "<i4"),
        ("src", "<u8", (GGML_MAX_SRC,)),
        ("view_src", "<u8"),
        ("view_offs", "<u8"),
        ("data", "<u8"),
        ("name", f"S{GGML_MAX_NAME}"),
        ("use_count", "<i4"),
    ]
)

TensorRecords = NDArray[Any]
"""array of RPC_TENSOR records, shape (t,)"""

Extents = tuple[int, int, int, int]

_HEAD = struct.Struct("<8xIQ4I4I")
"""type, buffer, ne and nb, behind the id"""
_ADDRESS = struct.Struct("<Q")
_FIELDS: Mapping[str, Any] = RPC_TENSOR.fields or {}
_ADDRESS_AT = _FIELDS["data"][1]


def geometry(record: Any) -> tuple[int, int, Extents, Extents, int]:
    """type, buffer, ne, nb and data of one record, as Python integers.

    A connection needs them for each transfer; taken one by one from the record they cost ten times as much.
    """
    type_, buffer, ne0, ne1, ne2, ne3, nb0, nb1, nb2, nb3 = _HEAD.unpack_from(record)
    (data,) = _ADDRESS.unpack_from(record, _ADDRESS_AT)
    return type_, buffer, (ne0, ne1, ne2, ne3), (nb0, nb1, nb2, nb3), data
