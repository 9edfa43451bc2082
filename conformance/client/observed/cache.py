"""The tensor cache, as an ordinary run shows it."""

from collections.abc import Iterator

from conformance.client.case import ClientSection
from conformance.client.observed.duty import View, duty
from conformance.client.observed.moments import Moment
from conformance.client.observed.records import Record, fields_of, records_of
from conformance.judge.fnv import fnv1a64

__all__ = ["CASES"]

SECTION = ClientSection()
HASH, WRITE = "SET_TENSOR_HASH", "SET_TENSOR"
Place = tuple[int, int, int]
"""connection, handle and address of a tensor"""


def _tensor(view: View, moment: Moment) -> tuple[Place, Record, dict[str, int]]:
    """Where the tensor of a request is, its record, and the numbers of the request."""
    record = next(records_of(view.codec, moment.asked))
    numbers = {name: value for name, value in fields_of(view.codec, moment.asked).items() if isinstance(value, int)}
    return (moment.talk, record.buffer, record.data), record, numbers


def _absent(view: View, moment: Moment) -> bool:
    return moment.answers.get(id(moment.asked)) == bytes(view.codec.size("set_tensor_hash_rsp"))


@duty(SECTION, "CACHE-1/hash", needs=HASH)
def _hashes(view: View) -> Iterator[str]:
    """The hash is that of the payload which follows when the server has none."""
    offered: dict[Place, int] = {}
    for moment in view.moments(HASH, WRITE):
        place, record, numbers = _tensor(view, moment)
        if moment.asked.command == HASH:
            offered[place] = numbers["hash"]
        elif place in offered and moment.asked.payload:
            payload, hashed = bytes(moment.asked.payload), offered.pop(place)
            if len(payload) == moment.asked.payload_size and fnv1a64(view.codec.dialect, payload) != hashed:
                yield f"{moment}: {record} was offered as {hashed:016x}, and its payload has another hash"


@duty(SECTION, "CACHE-2/large-ones", needs=HASH)
def _large_ones(view: View) -> Iterator[str]:
    """A hash is offered for more than 10 MiB only."""
    threshold = view.codec.dialect.constant("HASH_THRESHOLD")
    for moment in view.moments(HASH):
        _, record, numbers = _tensor(view, moment)
        size = record.span(view.codec) - numbers["offset"]
        if size <= threshold:
            yield f"{moment}: {record} has {size} bytes"


@duty(SECTION, "CACHE-4/sent-after-0", needs=HASH)
def _sent_after_0(view: View) -> Iterator[str]:
    """What the server does not have is sent."""
    missing: dict[Place, str] = {}
    for moment in view.moments(HASH, WRITE):
        place, record, _ = _tensor(view, moment)
        if moment.asked.command == WRITE:
            missing.pop(place, None)
        elif _absent(view, moment):
            missing[place] = f"{moment} for {record} was answered with 0, and no SET_TENSOR came"
    yield from missing.values()


@duty(SECTION, "CACHE-5/flag-after-0", needs=WRITE)
def _flag_after_0(view: View) -> Iterator[str]:
    """The flag to keep a payload is set only for one that the server did not have."""
    absent: set[Place] = set()
    for moment in view.moments(HASH, WRITE):
        place, record, numbers = _tensor(view, moment)
        if moment.asked.command == HASH and _absent(view, moment):
            absent.add(place)
        if moment.asked.command == WRITE and numbers.get("cache_flag") and place not in absent:
            yield f"{moment}: {record} is to be kept, and was not offered by its hash"


CASES = SECTION.cases
