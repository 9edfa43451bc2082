"""Requests are made here: valid ones in the context of a session, and what becomes of them when changed."""
