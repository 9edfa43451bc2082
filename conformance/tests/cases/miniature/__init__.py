"""A server in miniature: right, in as few lines as that takes, so that the wrong ones are a few lines away from it.

It keeps the clauses that cases ask about and few others: of graphs it can do sums of floats without gaps.
"""
