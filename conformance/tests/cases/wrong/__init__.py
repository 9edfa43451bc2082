"""Servers that are wrong in one thing each: one file for each part of the cases."""
