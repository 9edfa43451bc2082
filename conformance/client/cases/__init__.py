"""What clients are asked."""
