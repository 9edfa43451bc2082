"""The two forms that blocks of 256 elements take here, in bytes; layout.py above describes those of 32.

Activations (Q8_K): ACTIVATION bytes a block, block after block, row after row:

    f32 d | 12 unused | 8 i16 sums of 32 quants | 16 i16 sums of 16 quants | 256 signed bytes q         value = d * q

d is 1 / (127 / amax) in float32. ggml takes the sign of the largest value into d and q; both then differ in sign from
those here, their products do not.

Packed weights: 16 rows interleaved, as many bytes as before. For each block of 256 columns:

    Q4_K    16 f16 d | 16 f16 dmin | 3 planes of scales and minima |                 32 planes of nibbles
    Q5_K    16 f16 d | 16 f16 dmin | 3 planes of scales and minima | 8 of fifth bits | 32 planes of nibbles
    Q6_K    16 f16 d | 32 planes of nibbles | 16 planes of upper bits | 4 planes of scales

Bytes 4 r .. 4 r + 3 of plane j are word j of what row r's block has there.
"""

__all__ = [
    "ACTIVATION",
    "BLOCK",
    "MANY",
    "Q4_K",
    "Q4_K_BYTES",
    "Q5_K",
    "Q5_K_BYTES",
    "Q6_K",
    "Q6_K_BYTES",
    "QUANTS",
    "SUMS_16",
    "SUMS_32",
]

BLOCK = 256
ACTIVATION = 320
SUMS_32, SUMS_16, QUANTS = 16, 32, 64
"""where the sums and q begin in an activation block"""

MANY = 8
"""columns from which on a block is added up as a whole (rows.py)"""

Q4_K, Q5_K, Q6_K = 12, 13, 14
"""type numbers, as compiled code compares them"""
Q4_K_BYTES, Q5_K_BYTES, Q6_K_BYTES = 144, 176, 210
