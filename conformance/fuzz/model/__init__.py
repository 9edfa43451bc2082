"""What a server has to answer, by a model of a connection that reads the same bytes (arrow: bytes > ruling)."""
