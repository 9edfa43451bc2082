"""Numbers counted on recorded bytes or read off upstream's programs, against which check.py holds the data.

They stand here a second time on purpose: the data derives them from field lists, these come from elsewhere.
"""

from collections.abc import Mapping

__all__ = ["BLOCKS", "BODY_BYTES", "FIXED_PART_BYTES", "NO_REPLY"]

FIXED_PART_BYTES: Mapping[str, int] = {"rpc_tensor": 296, "hello_req": 24, "hello_rsp": 28, "set_tensor_req": 305}
"""struct > bytes, the same in every version that is described"""

_COMMON: dict[str, tuple[int, int | None]] = {
    "ALLOC_BUFFER": (12, 16),
    "GET_ALIGNMENT": (4, 8),
    "GET_MAX_SIZE": (4, 8),
    "BUFFER_GET_BASE": (8, 8),
    "FREE_BUFFER": (8, None),
    "BUFFER_CLEAR": (9, None),
    "SET_TENSOR": (305, None),
    "SET_TENSOR_HASH": (312, 1),
    "GET_TENSOR": (312, None),
    "COPY_TENSOR": (592, 1),
    "GET_DEVICE_MEMORY": (4, 16),
    "INIT_TENSOR": (296, None),
    "GET_ALLOC_SIZE": (3260, 8),
    "HELLO": (24, 28),
    "DEVICE_COUNT": (0, 4),
    "MEMSET_TENSOR": (313, None),
}

BODY_BYTES: Mapping[str, Mapping[str, tuple[int, int | None]]] = {
    "7.0.0": {**_COMMON, "GRAPH_COMPUTE": (8, None), "GRAPH_RECOMPUTE": (4, None)},
    "8.0.0": {
        **_COMMON,
        "GRAPH_COMPUTE": (16, None),
        "GRAPH_RECOMPUTE": (12, None),
        "SET_TENSOR_2D": (328, None),
        "GET_TENSOR_2D": (328, None),
        "COMM_INIT": (80, 1),
        "COMM_ALLREDUCE": (300, None),
        "COMM_FREE": (4, None),
    },
}
"""version > command > bytes of the request's fixed part and of the reply; None where there is no reply of fixed size"""

_SILENT = frozenset(
    {
        "FREE_BUFFER",
        "BUFFER_CLEAR",
        "SET_TENSOR",
        "GRAPH_COMPUTE",
        "INIT_TENSOR",
        "GRAPH_RECOMPUTE",
        "MEMSET_TENSOR",
    }
)

NO_REPLY: Mapping[str, frozenset[str]] = {
    "7.0.0": _SILENT,
    "8.0.0": _SILENT | {"SET_TENSOR_2D", "COMM_ALLREDUCE", "COMM_FREE"},
}
"""version > commands that are not answered"""

_PRINTED = """
0 F32 1/4; 1 F16 1/2; 2 Q4_0 32/18; 3 Q4_1 32/20; 6 Q5_0 32/22; 7 Q5_1 32/24; 8 Q8_0 32/34; 9 Q8_1 32/36;
10 Q2_K 256/84; 11 Q3_K 256/110; 12 Q4_K 256/144; 13 Q5_K 256/176; 14 Q6_K 256/210; 15 Q8_K 256/292;
16 IQ2_XXS 256/66; 17 IQ2_XS 256/74; 18 IQ3_XXS 256/98; 19 IQ1_S 256/50; 20 IQ4_NL 32/18; 21 IQ3_S 256/110;
22 IQ2_S 256/82; 23 IQ4_XS 256/136; 24 I8 1/1; 25 I16 1/2; 26 I32 1/4; 27 I64 1/8; 28 F64 1/8; 29 IQ1_M 256/56;
30 BF16 1/2; 34 TQ1_0 256/54; 35 TQ2_0 256/66; 39 MXFP4 32/17; 40 NVFP4 64/36; 41 Q1_0 128/18; 42 Q2_0 64/18
"""


def _blocks() -> dict[int, tuple[str, int, int]]:
    """number > name, elements and bytes of a block."""
    table = {}
    for line in _PRINTED.split(";"):
        number, name, size = line.split()
        elements, length = size.split("/")
        table[int(number)] = (name, int(elements), int(length))
    return table


BLOCKS: Mapping[int, tuple[str, int, int]] = _blocks()
"""type number > name, elements per block, bytes per block, as upstream's own table prints them"""
