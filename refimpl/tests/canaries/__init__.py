"""Graphs drawn at random, run with a forbidden page at both ends of every buffer: python -m refimpl.tests.canaries."""
