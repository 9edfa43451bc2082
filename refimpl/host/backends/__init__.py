"""Where stages run: one protocol, on the local CPU or on a device of a node."""
