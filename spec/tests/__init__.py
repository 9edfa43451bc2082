"""Tests of the specification: the loader, the checks, the prose and what is rendered."""
