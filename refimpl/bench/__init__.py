"""Benchmarks side by side with stock llama.cpp in one run: JSON lines and a table of ratios."""
