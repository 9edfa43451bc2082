"""spec/text/tensors.md and transfer.md: records, regions, and the commands that move bytes."""
