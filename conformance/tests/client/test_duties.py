"""Every duty finds where it is broken, and no other one complains of it."""

from collections.abc import Callable

import pytest

from conformance.client.case import Seen
from conformance.client.catalogue import CASES
from conformance.client.hostile.deeds import Nothing
from conformance.client.observed.records import graph_of
from conformance.judge.verdict import Verdict
from conformance.tests.client.talk import BASE, CODEC, HANDLE, LARGE, OTHER, Talk, floats, leaf, seen, whole_talk
from spec.names import Op, TensorFlag, Type

DUTIES = {case.id: case for case in CASES.values() if isinstance(case.deed, Nothing)}
Change = Callable[[Talk], None]


def broken(what: Seen) -> set[str]:
    """Ids of the duties that are not kept."""
    return {case.id for case in DUTIES.values() if case.asks(what).verdict is not Verdict.PASS}


def after(change: Change) -> set[str]:
    talk = whole_talk()
    change(talk)
    return broken(seen(talk))


def moved(command: str, nth: int, to: int) -> Change:
    """That request, and the reply behind it if there is one, stands elsewhere."""

    def change(talk: Talk) -> None:
        at = talk.place(command, nth)
        events = [talk.events.pop(at)]
        if not isinstance(talk.events[at], type(events[0])) and talk.events[at].command == command:
            events.append(talk.events.pop(at))
        talk.events[to:to] = events

    return change


def without(command: str, nth: int = 0) -> Change:
    def change(talk: Talk) -> None:
        del talk.events[talk.place(command, nth)]

    return change


def edit(command: str, nth: int = 0, /, **fields: int | bytes | tuple[int, ...]) -> Change:
    return lambda talk: talk.edit(command, nth, **fields)


def record(command: str, nth: int = 0, /, **fields: int | bytes | tuple[int, ...]) -> Change:
    return lambda talk: talk.edit_record(command, nth, **fields)


def graph(nodes: tuple[int, ...] = (3, 4), rest: bytes = b"", /, **records: bytes) -> Change:
    return lambda talk: talk.graph(nodes, rest, **records)


def again(talk: Talk) -> None:
    talk.ask("HELLO", {"major": 8})


def longer(talk: Talk) -> None:
    talk.replace("GRAPH_RECOMPUTE", talk.request("GRAPH_RECOMPUTE").body + b"\0")


def short_hello(talk: Talk) -> None:
    talk.replace("HELLO", b"")


def cut_graph(talk: Talk) -> None:
    talk.replace("GRAPH_COMPUTE", talk.request("GRAPH_COMPUTE").body[:-1])


def freed_between(talk: Talk) -> None:
    moved("FREE_BUFFER", 0, talk.place("GRAPH_RECOMPUTE") - 1)(talk)


def many_uids(talk: Talk) -> None:
    at = talk.place("GRAPH_COMPUTE")
    for _ in range(1024):
        talk.events.insert(at, talk.events[at])
    for nth in range(1025):
        talk.edit("GRAPH_COMPUTE", nth, uid=nth + 1)


def unknown_handle(talk: Talk) -> None:
    talk.edit_record("INIT_TENSOR", buffer=HANDLE + 77)


COMPUTE = TensorFlag.COMPUTE
NOTHING = 8 * (0,)
COPIES = floats(0, 3, op=Op.CPY, flags=COMPUTE, src=(1, 3, *NOTHING))
WRONG: dict[str, tuple[Change, set[str]]] = {
    "HELLO twice": (again, {"HELLO-1/first-and-once", "PHASE-2/hello-once"}),
    "HELLO second": (moved("HELLO", 0, 2), {"HELLO-1/first-and-once", "PHASE-1/hello-first", "PHASE-2/hello-once"}),
    "an empty HELLO": (short_hello, {"HELLO-2/size", "FRAME-5/sizes"}),
    "a byte too many": (longer, {"FRAME-5/sizes"}),
    "a name with a tail": (record("GET_TENSOR", name=b"a\0b".ljust(64, b"\0")), {"FRAME-3/names-padded"}),
    "a device too many": (edit("ALLOC_BUFFER", device=1), {"DEVICE-2/exists"}),
    "a handle from nowhere": (unknown_handle, {"HANDLE-2/own", "INIT-4/announced"}),
    "a freed handle": (edit("FREE_BUFFER", handle=HANDLE), {"FREE-1/not-after"}),
    "freed twice": (lambda talk: talk.tell("FREE_BUFFER", handle=OTHER), {"FREE-1/not-after"}),
    "a tensor past its buffer": (
        record("SET_TENSOR_HASH", data=BASE + (16 << 20) - LARGE + 64),
        {"REGION-1/inside-the-buffer", "CACHE-4/sent-after-0", "CACHE-5/flag-after-0"},
    ),
    "bytes past a tensor": (edit("GET_TENSOR", offset=1), {"REGION-2/inside-the-tensor"}),
    "buffer 0": (record("GET_TENSOR", buffer=0), {"REGION-5/names-a-buffer"}),
    "pieces past a tensor": (edit("GET_TENSOR_2D", stride=21), {"STRIDED-2/inside-the-tensor"}),
    "no pieces": (edit("GET_TENSOR_2D", n_copies=0, stride=0), {"STRIDED-3/not-empty"}),
    "a payload for other pieces": (edit("SET_TENSOR_2D", n_copies=3), {"STRIDED-4/payload"}),
    "a tensor that is not aligned": (
        record("SET_TENSOR", 1, data=BASE + (1 << 12) + 32),
        {"ALLOC-6/aligned", "CACHE-4/sent-after-0", "CACHE-5/flag-after-0"},
    ),
    "a buffer over the largest": (edit("ALLOC_BUFFER", size=(16 << 20) + 1), {"ALLOC-7/no-larger"}),
    "not asked before": (moved("GET_ALLOC_SIZE", 0, -1), {"ALLOC-13/asks"}),
    "not announced": (without("INIT_TENSOR"), {"INIT-4/announced"}),
    "type 4": (record("GET_TENSOR", type=4), {"TENSOR-2/types", "REGION-2/inside-the-tensor"}),
    "too many elements": (
        record("INIT_TENSOR", ne=(1 << 30, 1 << 30, 8, 1), type=Type.I8),
        {"TENSOR-5/extents", "REGION-1/inside-the-buffer"},
    ),
    "half a block": (record("GET_ALLOC_SIZE", ne=(48, 1, 1, 1)), {"TENSOR-6/whole-blocks", "ALLOC-13/asks"}),
    "id 0": (record("GET_TENSOR", id=0), {"TENSOR-8/absent-is-zero"}),
    "a bit of the future": (record("GET_TENSOR", flags=1 << 9), {"TENSOR-10/flags"}),
    "a view elsewhere": (
        graph(view=floats(1 << 8, 4, op=Op.VIEW, src=(2, *9 * (0,)), view_src=2)),
        {"TENSOR-14/views", "GRAPH-31/inside-the-source"},
    ),
    "a longer view": (
        graph(view=floats((1 << 11) + 64, 4, op=Op.VIEW, view_src=2, ne=(8, 1, 1, 1))),
        {"GRAPH-31/inside-the-source"},
    ),
    "a graph past the buffer": (graph(x=floats((16 << 20) - 8, 1)), {"GRAPH-15/inside-the-buffer"}),
    "a record too few": (cut_graph, {"GRAPH-1/counts", "GRAPH-6/nodes"}),
    "a byte behind": (graph((3, 4), b"\0"), {"GRAPH-3/nothing-behind"}),
    "an id twice": (graph(more=floats(0, 1)), {"GRAPH-5/ids"}),
    "a node without record": (graph((3, 4, 9)), {"GRAPH-6/nodes"}),
    "a node twice": (graph((3, 3, 4)), {"GRAPH-6/nodes"}),
    "an operand without record": (graph(more=floats(0, 5, src=(77, *9 * (0,)))), {"GRAPH-7/closure"}),
    "an operand behind": (
        graph((3, 4), more=floats(0, 3, op=Op.ADD, flags=COMPUTE, src=(1, 4, *NOTHING))),
        {"GRAPH-5/ids", "GRAPH-8/order"},
    ),
    "its own operand": (graph(more=floats(0, 5, op=Op.ADD, src=(5, 1, *NOTHING))), {"GRAPH-9/self"}),
    "an op of the future": (graph(more=floats(0, 5, op=999)), {"GRAPH-10/ops"}),
    "a custom op": (graph((3, 4, 5), more=floats(0, 5, op=Op.CUSTOM)), {"GRAPH-10/ops"}),
    "an operand elsewhere": (graph(x=floats(0, 1, buffer=0, data=0)), {"GRAPH-14/here"}),
    "another uid again": (edit("GRAPH_RECOMPUTE", uid=2), {"GRAPH-23/remembered", "GRAPH-35/after-a-free"}),
    "uid 0 again": (
        edit("GRAPH_RECOMPUTE", uid=0),
        {"GRAPH-23/remembered", "GRAPH-25/not-uid-0", "GRAPH-35/after-a-free"},
    ),
    "again behind a free": (freed_between, {"GRAPH-35/after-a-free"}),
    "many uids": (many_uids, {"GRAPH-35/few-uids"}),
    "another hash": (edit("SET_TENSOR_HASH", hash=1), {"CACHE-1/hash"}),
    "a small hash": (edit("SET_TENSOR_HASH", offset=64), {"CACHE-2/large-ones"}),
    "missing and not sent": (without("SET_TENSOR", 1), {"CACHE-4/sent-after-0"}),
    "to be kept at once": (edit("SET_TENSOR", cache_flag=1), {"CACHE-5/flag-after-0"}),
}


def test_a_right_run_keeps_every_duty() -> None:
    assert broken(seen(whole_talk())) == set()


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_run_breaks_its_own_duties(name: str) -> None:
    change, duties = WRONG[name]
    assert after(change) == duties


def test_there_is_a_wrong_run_for_every_duty() -> None:
    found = set().union(*(duties for _, duties in WRONG.values()))
    assert set(DUTIES) - found == {"FRAME-2/whole"}


@pytest.mark.parametrize(("odd", "cut_off"), [("command byte 200", b""), ("", b"\x06")])
def test_requests_that_cannot_be_read_are_no_requests(odd: str, cut_off: bytes) -> None:
    assert broken(seen(whole_talk(), odd=odd, cut_off=cut_off)) == {"FRAME-2/whole"}


def test_a_copy_may_name_itself() -> None:
    assert after(graph(z=COPIES)) == set()


def test_what_one_connection_learns_another_may_use() -> None:
    """Stock asks about devices on connections of their own."""
    facts, work = whole_talk(), whole_talk()
    del facts.events[2 * 4 :]
    del work.events[2 : 2 * 4]
    assert broken(seen(facts, work)) == set()
    work.edit("ALLOC_BUFFER", size=(16 << 20) + 1)
    assert broken(seen(facts, work)) == {"ALLOC-7/no-larger"}


def test_a_graph_is_read_as_far_as_it_goes() -> None:
    talk = whole_talk()
    cut_graph(talk)
    found = graph_of(CODEC, talk.request("GRAPH_COMPUTE"))
    assert (found.nodes, len(found.tensors), found.rest) == ((3, 4), 3, -1)


@pytest.mark.parametrize(("size", "duties"), [(7, set()), (8, {"REGION-1/inside-the-buffer"})])
def test_the_last_byte_of_a_buffer_is_the_last(size: int, duties: set[str]) -> None:
    assert after(lambda talk: talk.tell("INIT_TENSOR", tensor=leaf((16 << 20) - 7, size))) == duties


def test_room_that_a_device_wants_is_kept_free() -> None:
    """64 KiB more than GET_ALLOC_SIZE was answered with by the right server."""
    room, talk = CASES["ALLOC-12/room"], whole_talk()
    crowded = room.asks(seen(talk))
    assert crowded.verdict is Verdict.FAIL
    assert "another tensor begins within them" in crowded.came
    for command, nth in (("SET_TENSOR_HASH", 0), ("SET_TENSOR", 1)):
        talk.edit_record(command, nth, data=BASE + (1 << 17))
    assert room.asks(seen(talk)).verdict is Verdict.PASS
    for command, nth in (("INIT_TENSOR", 0), ("SET_TENSOR", 0)):
        talk.edit_record(command, nth, data=BASE + (16 << 20) - 64)
    assert "its buffer ends within them" in room.asks(seen(talk)).came
