"""Proof by load: many connections, several texts at once, a full disk, no memory left. Judges from outside."""
