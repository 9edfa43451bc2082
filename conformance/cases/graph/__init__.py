"""spec/text/graph.md: graphs as values, and one file of cases for each group of its clauses."""
