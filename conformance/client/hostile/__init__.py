"""The hostile server: what it does, and what is said to it."""
