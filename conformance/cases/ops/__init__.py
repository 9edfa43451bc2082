"""spec/text/ops.md: what each op computes, judged by sample graphs and definitions in exact arithmetic.

blocks/        element types: bytes > values, and values drawn for samples
definitions/   arrays > arrays in float64, written from the sentences of ops.md
samples/       for each op the graphs that are asked, with what has to come out
vectors/       what stock programs computed for the samples, recorded by record.py
"""
