"""The command line of the main host: words to options, nothing run."""
