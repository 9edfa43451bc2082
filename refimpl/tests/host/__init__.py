"""Tests of the main host."""
