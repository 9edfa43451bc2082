"""What all checks of a server cost while it makes text."""
