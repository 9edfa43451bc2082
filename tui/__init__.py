"""A terminal view of a node at work: it looks and does not touch. Nothing is here yet."""
