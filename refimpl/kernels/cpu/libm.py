"""Functions of the platform's C library, float32 to float32: what ggml calls for single numbers, so with its bits.

They are called by address, as any C function; compiled code that a cache folder holds finds them again by name.
"""

from numba import types

__all__ = ["cosf", "erff", "expf", "expm1f", "logf", "powf", "sinf", "tanhf"]

ONE = types.float32(types.float32)

expf, logf = types.ExternalFunction("expf", ONE), types.ExternalFunction("logf", ONE)
expm1f, tanhf = types.ExternalFunction("expm1f", ONE), types.ExternalFunction("tanhf", ONE)
erff = types.ExternalFunction("erff", ONE)
cosf, sinf = types.ExternalFunction("cosf", ONE), types.ExternalFunction("sinf", ONE)
powf = types.ExternalFunction("powf", types.float32(types.float32, types.float32))
