"""GGUF files as bytes: how they come into memory, what their head says, and which files make up one model."""
