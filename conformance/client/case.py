"""A case about a client: what the hostile server does, and a question about how the client took it.

Rules
- Several cases may share a deed: the client is run once for each deed, and each case asks about what was seen.
- `evident` says what was seen; `asks` answers with a finding. Neither waits: a case is a pure function of the evidence.
- A client that never came to where the deed is done cannot be judged by it: unsupported.
"""

from collections.abc import Callable, Mapping

import attrs

from conformance.client.hostile.conversation import Conversation
from conformance.client.hostile.deeds import Deed, Nothing
from conformance.client.process import Ending
from conformance.judge.case import Question
from conformance.judge.codec import Codec
from conformance.judge.verdict import Verdict

__all__ = ["Ask", "ClientCase", "ClientSection", "Evidence", "Finding", "Seen"]


@attrs.frozen(kw_only=True)
class Evidence:
    """What was seen of one run. begun: whether the deed was done at all."""

    endpoint: str
    ending: Ending
    begun: bool
    conversations: tuple[Conversation, ...]

    def sent(self, command: str) -> bool:
        """Whether the client sent that command."""
        return any(request.command == command for talk in self.conversations for request in talk.requests)


@attrs.frozen(kw_only=True)
class Seen:
    """What a case has to go by: this run, the ordinary run of the same client, and how the bytes are read."""

    codec: Codec
    run: Evidence
    ordinary: Evidence


@attrs.frozen
class Finding:
    """The answer to a case."""

    verdict: Verdict
    expected: str = ""
    came: str = ""


Ask = Callable[[Seen], Finding]


@attrs.frozen(kw_only=True)
class ClientCase(Question):
    """A question to a client. needs: a command that it has to send, or there is nothing to ask."""

    asks: Ask
    deed: Deed = attrs.field(factory=Nothing)
    needs: str = ""


class ClientSection:
    """The cases of one file, in order."""

    def __init__(self) -> None:
        self._cases: dict[str, ClientCase] = {}

    @property
    def cases(self) -> Mapping[str, ClientCase]:
        """Cases by id."""
        return self._cases

    def add(self, case: ClientCase) -> None:
        """Add a case; an id stands once."""
        if case.id in self._cases:
            raise ValueError(f"two cases are called {case.id}")
        self._cases[case.id] = case
