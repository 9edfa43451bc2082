"""Main hosts over servers, stock's and ours, in every version of the protocol: one greedy text, whoever makes it."""
