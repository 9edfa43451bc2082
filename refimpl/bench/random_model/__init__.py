"""Models of any Llama shape with random weights: to measure shapes and types of which no file is at hand."""
