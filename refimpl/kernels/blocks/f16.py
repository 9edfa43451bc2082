"""F16: IEEE half precision, little-endian, one element to a block."""

from refimpl.kernels.blocks.raw import Raw, Reals, halves, pack_half

__all__ = ["BLOCK", "BYTES", "dequantise", "quantise"]

BLOCK = 1
BYTES = 2


def dequantise(raw: Raw) -> Reals:
    """raw (n, 2) -> (n, 1), exact."""
    return halves(raw, 0)


def quantise(values: Reals) -> Raw:
    """values (n, 1) -> (n, 2): nearest, ties to even; beyond 65504 + half a step it is infinite."""
    return pack_half(values)
