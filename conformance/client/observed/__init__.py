"""Duties of a client that can be seen in its ordinary run: every byte that it sends is looked at."""
