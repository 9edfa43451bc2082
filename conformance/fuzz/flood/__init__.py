"""Bulk: many connections, thousands of messages a second, each session by seed and index alone."""
