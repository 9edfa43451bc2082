"""Client mode: a hostile server between the client that is judged and a right server."""
