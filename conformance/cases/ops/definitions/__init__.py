"""What the ops compute, by the sentences of spec/text/ops.md: arrays (n3, n2, n1, n0) > arrays, in float64."""
