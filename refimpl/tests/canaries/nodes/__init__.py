"""Nodes of every op with operands drawn at random, one file for each family."""
