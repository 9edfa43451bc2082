"""Why two greedy texts part: the step, both candidates, and what stock llama.cpp thinks of each.

Numerics of two implementations differ in the last bits, so greedy texts may part where two tokens are as good as
equally likely. Stock's own log-probabilities say whether that is the case. Pure, except for `ask_stock`.
"""

import json
import urllib.request
from collections.abc import Sequence
from typing import Any

import attrs
import trio

__all__ = ["TOLERANCE", "Candidate", "Parting", "Step", "ask_stock", "parting"]

TOLERANCE = 0.02
"""largest distance of two log-probabilities (nats) that counts as a near-tie"""
CANDIDATES = 40


@attrs.frozen
class Candidate:
    """A token that could come next: its bytes and its log-probability over the whole vocabulary (nats)."""

    text: bytes
    logprob: float


@attrs.frozen
class Step:
    """One generated token: the one that stock takes, and the likeliest ones, best first."""

    chosen: Candidate
    candidates: tuple[Candidate, ...]


@attrs.frozen
class Parting:
    """Where a text leaves stock's: token number (0 is the first generated one), stock's token, the other's if known."""

    step: int
    stock: Candidate
    other: Candidate | None

    @property
    def gap(self) -> float:
        """Distance of the two log-probabilities in nats; infinite where the other's token is not among stock's best."""
        return abs(self.stock.logprob - self.other.logprob) if self.other else float("inf")

    @property
    def is_near_tie(self) -> bool:
        return self.gap <= TOLERANCE

    def __str__(self) -> str:
        theirs = f"{_show(self.other)}, {self.gap:.4f} apart" if self.other else "a token that stock ranks nowhere"
        return f"token {self.step}: stock takes {_show(self.stock)}, the other {theirs}"


def parting(steps: Sequence[Step], other: bytes) -> Parting | None:
    """Return where `other` (the generated text, without the prompt) leaves the text of `steps`; None if it does not."""
    head = b""
    for number, step in enumerate(steps):
        if not other.startswith(head + step.chosen.text):
            best = _fitting(step, other[len(head) :])
            earlier = _longer_token(steps[:number], other) if best is None else None
            return earlier or Parting(number, step.chosen, best)
        head += step.chosen.text
    return None


def _fitting(step: Step, rest: bytes) -> Candidate | None:
    """The longest candidate that `rest` begins with."""
    found = [candidate for candidate in step.candidates if candidate.text and rest.startswith(candidate.text)]
    return max(found, key=lambda candidate: len(candidate.text), default=None)


def _longer_token(steps: Sequence[Step], other: bytes) -> Parting | None:
    """The last step at which `other` took a token that begins with stock's: its bytes part only behind that."""
    heads = [b"".join(step.chosen.text for step in steps[:number]) for number in range(len(steps))]
    for number, (step, head) in reversed(list(enumerate(zip(steps, heads, strict=True)))):
        best = _fitting(step, other[len(head) :])
        if best is not None and len(best.text) > len(step.chosen.text):
            return Parting(number, step.chosen, best)
    return None


async def ask_stock(url: str, prompt: str, tokens: int) -> list[Step]:
    """Let a stock llama-server at `url` continue `prompt` greedily; one Step per generated token."""
    question = {"prompt": prompt, "n_predict": tokens, "temperature": 0, "n_probs": CANDIDATES, "cache_prompt": False}
    request = urllib.request.Request(f"{url}/completion", json.dumps(question).encode())
    answer = json.loads(await trio.to_thread.run_sync(_fetch, request))
    return [Step(_candidate(step), tuple(map(_candidate, step["top_logprobs"]))) for step in answer[PROBABILITIES]]


PROBABILITIES = "completion_probabilities"


def _fetch(request: urllib.request.Request) -> bytes:
    with urllib.request.urlopen(request) as response:
        body: bytes = response.read()
    return body


def _candidate(entry: dict[str, Any]) -> Candidate:
    return Candidate(bytes(entry["bytes"]), float(entry["logprob"]))


def _show(candidate: Candidate) -> str:
    return f"{candidate.text.decode('utf-8', 'replace')!r} (log-probability {candidate.logprob:.4f})"
