"""A terminal view of nodes at work: it looks and does not touch.

    nodes > feed (Trio, a thread of its own) > events > model (pure) > screens and widgets (Textual)

feed/ talks to nodes and tells events; model/ folds them into what is known and puts that into words, without a clock,
a socket or a screen; actions.py lists what keys do; screens/ and widgets/ show the model. once.py shows it as text.
"""
