"""The judge of ops is judged: its decoders, its definitions, and servers that compute wrongly."""
