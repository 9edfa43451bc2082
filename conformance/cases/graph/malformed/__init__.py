"""GRAPH-18 for every op: a sound graph of each, and what is wrong once an operand, extent or parameter is changed."""
