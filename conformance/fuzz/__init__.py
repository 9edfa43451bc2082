"""Fuzzing: what a server does with messages that are valid but for a little; a model knows what must be answered.

    campaign.py   refimpl-conformance --time: Hypothesis plays sessions, finds what is wrong and shrinks it to a file
    replay.py     refimpl-conformance --replay: plays such a file again, without Hypothesis
    flood.py      python -m conformance.fuzz.flood: the same messages in bulk, on many connections

    make/ > request > script > stage > testee          values go right: a request by names, its bytes, who plays them
              model/ <---'                             bytes > what must be answered

Rules
- A request is made and mutated with buffers by name, and becomes bytes only when their handles and bases are known.
  So a recorded session can be played to any server at any time, although handles are random numbers.
- The model judges bytes, not intentions: how a request came about, and what was mutated in it, it does not know.
- The model says "has to close" and "has to be served" only where a MUST leaves nothing open; everything else is "may",
  and what such a request wrote is unknown to the model from then on. So a finding is a finding.
"""
