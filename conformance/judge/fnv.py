"""The hash by which a tensor cache names payloads (CACHE-1), from the constants of spec/data alone."""

from spec.dialect import Dialect

__all__ = ["fnv1a64"]

TOP = 1 << 64


def fnv1a64(dialect: Dialect, data: bytes) -> int:
    """FNV-1a of 64 bits. Trailing zero bytes only multiply, and so cost nothing, however many they are."""
    body = data.rstrip(b"\0")
    state = dialect.fnv_offset
    for byte in body:
        state = (state ^ byte) * dialect.fnv_prime % TOP
    return state * pow(dialect.fnv_prime, len(data) - len(body), TOP) % TOP
