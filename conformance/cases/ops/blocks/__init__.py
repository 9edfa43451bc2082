"""Element types as the judge reads and writes them: decoders, blocks drawn at random, rounding."""
