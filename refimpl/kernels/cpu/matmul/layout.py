"""The two forms that block formats take here, in bytes.

Activations (Q8): blocks of 32 values, ACTIVATION bytes each, block after block, row after row:

    f32 d | f32 s | 8 unused | 8 f32 w | 32 signed bytes q        value = d * q, s = d * sum(q)

w are the sums of the quants 4j .. 4j+3, as floats: weights are multiplied as unsigned bytes, and what they are too
large by times w is what their products are too large by. d and s hold values rounded to F16, as the formats Q8_0 and
Q8_1 do (blocks/q8_0.py, blocks/q8_1.py).

Packed weights: 16 rows interleaved, so that each lane of a vector works on a row of its own and one broadcast word of
activations meets them all. A group of 16 rows takes as many bytes as before. For each block of 32 columns:

    Q4_0    16 f16 d |            4 planes of 64 nibble bytes
    Q4_1    16 f16 d | 16 f16 m | 4 planes of 64 nibble bytes
    Q5_0    16 f16 d |            1 plane of fifth bits | 4 planes of 64 nibble bytes
    Q5_1    16 f16 d | 16 f16 m | 1 plane of fifth bits | 4 planes of 64 nibble bytes
    Q8_0    16 f16 d |            8 planes of 64 bytes, their signs flipped so that they are unsigned

Byte 4 r + t of plane j is byte 4 j + t of row r's block. A nibble plane holds columns 4j .. 4j+3 low, 16+4j .. high.
Fifth bits are turned on the way (fifths.py), so that bit j of byte 4 r + t belongs to column 4j + t.
"""

__all__ = [
    "ACTIVATION",
    "BLOCK",
    "GROUP",
    "HALVES",
    "LANES",
    "PLANE",
    "Q4_0",
    "Q4_0_BYTES",
    "Q4_1",
    "Q4_1_BYTES",
    "Q5_0",
    "Q5_0_BYTES",
    "Q5_1",
    "Q5_1_BYTES",
    "Q8_0",
    "Q8_0_BYTES",
    "QUANTS",
    "S",
]

BLOCK = 32
ACTIVATION = 80
S, WORD_SUMS, QUANTS = 4, 16, 48
"""where s, w and q begin in an activation block"""

GROUP = LANES = 16
HALVES = 32
"""bytes of 16 F16 numbers"""
PLANE = 64

Q4_0, Q4_1, Q5_0, Q5_1, Q8_0 = 2, 3, 6, 7, 8
"""type numbers, as compiled code compares them"""
Q4_0_BYTES, Q4_1_BYTES, Q5_0_BYTES, Q5_1_BYTES, Q8_0_BYTES = 18, 20, 22, 24, 34
