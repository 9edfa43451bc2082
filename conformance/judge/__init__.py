"""How a testee is judged: codec and raw peer, cases as values, the running of one, verdicts. Knows no case."""
