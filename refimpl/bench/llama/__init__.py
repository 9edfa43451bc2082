"""What llama-bench does, for our own engine: its flags, its tests, its table and its JSON lines."""
