"""spec/text/comm.md: pairing. One server alone can be asked what it does without a pair, and that is all."""

from functools import partial

from conformance.cases.talk import ask, get, opened, put, refused, row, still_served
from conformance.judge.case import Case, Section
from conformance.judge.codec import Codec
from conformance.judge.steps import End, Mismatch, Receive, Reply, Send, Silence, Talk, require

__all__ = ["CASES"]

_section = Section()
_case = _section.case
CASES = _section.cases

ALL_ONES = (1 << 32) - 1
IMPOSSIBLE = {
    "world-of-none": (0, 0),
    "world-of-one": (0, 1),
    "world-of-three": (0, 3),
    "world-all-ones": (0, ALL_ONES),
    "rank-behind": (2, 2),
    "rank-all-ones": (ALL_ONES, 2),
}
"""slug > rank and world of which no pair can come"""


def _impossible(rank: int, world: int, codec: Codec) -> Talk[None]:
    yield from opened(codec)
    yield Send(codec.request("COMM_INIT", device=0, rank=rank, world=world, host=b"\xff" * 64))
    answer = yield Receive()
    if isinstance(answer, End) and not answer.rest:
        return
    if not isinstance(answer, Reply) or answer.body != b"\0":
        raise Mismatch("the answer 0, or the connection closed", str(answer), silent=isinstance(answer, Silence))
    yield from still_served(codec)


for _name, (_rank, _world) in IMPOSSIBLE.items():
    _section.add(
        Case(
            id=f"COMM-2/{_name}",
            title=f"Rank {_rank} in a world of {_world} is not answered with 1",
            script=partial(_impossible, _rank, _world),
        )
    )


@_case("COMM-4/goes-on", ordinary=True)
def _comm(codec: Codec) -> Talk[None]:
    """A pairing that cannot be is answered with 0, and the connection goes on (COMM-2)"""
    yield from opened(codec)
    got = yield from ask(codec, "COMM_INIT", device=0, rank=0, world=3)
    require(got["ok"] == 0, "ok 0", got)
    yield from still_served(codec)


@_case("COMM-5/without-a-pair")
def _alone(codec: Codec) -> Talk[None]:
    """COMM_ALLREDUCE without a pair closes the connection"""
    buffer = yield from opened(codec)
    yield from refused(codec, codec.request("COMM_ALLREDUCE", device=0, tensor=row(codec, buffer, 64)))


@_case("COMM-5/after-a-refused-pairing")
def _refused_pairing(codec: Codec) -> Talk[None]:
    """So it does after a COMM_INIT that was answered with 0"""
    buffer = yield from opened(codec)
    yield from ask(codec, "COMM_INIT", device=0, rank=0, world=3)
    yield from refused(codec, codec.request("COMM_ALLREDUCE", device=0, tensor=row(codec, buffer, 64)))


@_case("COMM-6/without-a-pair", ordinary=True)
def _nothing_to_free(codec: Codec) -> Talk[None]:
    """COMM_FREE without a pair does nothing, and is not answered"""
    buffer = yield from opened(codec)
    record = row(codec, buffer, 256)
    yield from put(codec, record, bytes(range(256)))
    yield Send(codec.request("COMM_FREE", device=0) * 2)
    require((yield from get(codec, record, 256)) == bytes(range(256)), "the bytes that were set", "others")
