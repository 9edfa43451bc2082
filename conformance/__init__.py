"""Judges servers and clients of the protocol from outside: it imports the specification, never the implementation."""
