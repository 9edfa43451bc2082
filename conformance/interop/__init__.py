"""Runs our programs and stock llama.cpp's side by side, as processes, and compares the text that they write."""
