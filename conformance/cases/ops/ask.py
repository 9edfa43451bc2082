"""The conversation about a sample: place its graph, run it, read its results, compare.

Rules
- A server may lack a kernel (GRAPH-19): it closes the connection instead of answering, and the case is unsupported,
  not failed. That the process lives on is the judge's own look. Of the ops that a Llama needs OP-CORE asks more.
- Nothing else may end the connection: all that is sent is legal.
"""

from collections.abc import Callable

from conformance.cases.graph.placed import Placed, placed
from conformance.cases.ops.sample import Entry, Expected
from conformance.cases.talk import greet
from conformance.judge.case import Script
from conformance.judge.codec import Codec
from conformance.judge.steps import End, Mismatch, NotOffered, Receive, Reply, Send, Silence, Talk

__all__ = ["asked", "required"]


def asked(entry: Entry) -> Script:
    """The script that asks for a sample; a closed connection means that it is not offered."""
    return _script(entry, _not_offered)


def required(entry: Entry) -> Script:
    """The script that asks for a sample that every server should compute."""
    return _script(entry, _refused)


def _not_offered(entry: Entry) -> Exception:
    return NotOffered(f"{entry.op}, {entry.title}: the connection was closed (GRAPH-19)")


def _refused(entry: Entry) -> Exception:
    return Mismatch(f"{entry.op} computed", "the connection was closed")


def _script(entry: Entry, closed: Callable[[Entry], Exception]) -> Script:
    def script(codec: Codec) -> Talk[None]:
        sample = entry.sample()
        yield from greet(codec)
        there = yield from placed(codec, sample.graph)
        yield Send(there.message())
        for expected in sample.expected:
            body = yield from _read(there, expected, closed(entry))
            if complaint := expected.complaint(body):
                raise Mismatch(f"{expected.tensor.op}: {complaint[0]}", complaint[1])

    return script


def _read(there: Placed, expected: Expected, closed: Exception) -> Talk[bytes]:
    size = there.nbytes(expected.tensor)
    yield Send(there.codec.request("GET_TENSOR", tensor=there.record(expected.tensor), size=size))
    answer = yield Receive()
    if isinstance(answer, End) and not answer.rest:
        raise closed
    if not isinstance(answer, Reply) or answer.declared != size:
        raise Mismatch(f"a result of {size} bytes", str(answer), silent=isinstance(answer, Silence))
    return answer.body
