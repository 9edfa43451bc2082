"""Graphs, as an ordinary run shows them."""

from collections.abc import Iterator

from conformance.client.case import ClientSection
from conformance.client.observed.duty import View, duty
from conformance.client.observed.moments import Moment
from conformance.client.observed.records import Graph, Record, fields_of, graph_of

__all__ = ["CASES"]

SECTION = ClientSection()
GRAPH, AGAIN = "GRAPH_COMPUTE", "GRAPH_RECOMPUTE"
COPY_SLOT = 1


def _graphs(view: View) -> Iterator[tuple[Moment, Graph]]:
    yield from ((moment, graph_of(view.codec, moment.asked)) for moment in view.moments(GRAPH))


@duty(SECTION, "GRAPH-1/counts", needs=GRAPH)
def _counts(view: View) -> Iterator[str]:
    """Bodies have as many nodes and records as they count."""
    yield from (f"{moment} lacks {-graph.rest} bytes" for moment, graph in _graphs(view) if graph.rest < 0)


@duty(SECTION, "GRAPH-3/nothing-behind", needs=GRAPH)
def _nothing_behind(view: View) -> Iterator[str]:
    """Nothing comes behind the last record."""
    yield from (f"{moment} has {graph.rest} bytes more" for moment, graph in _graphs(view) if graph.rest > 0)


@duty(SECTION, "GRAPH-5/ids", needs=GRAPH)
def _ids(view: View) -> Iterator[str]:
    """Ids of records are not 0, and differ."""
    for moment, graph in _graphs(view):
        if 0 in graph.by_id or len(graph.by_id) != len(graph.tensors):
            yield f"{moment}: {len(graph.tensors)} records with {len(graph.by_id)} ids"


@duty(SECTION, "GRAPH-6/nodes", needs=GRAPH)
def _nodes(view: View) -> Iterator[str]:
    """Nodes are records, each once."""
    for moment, graph in _graphs(view):
        known = graph.by_id
        yield from (f"{moment}: node {node:#x} is no record" for node in graph.nodes if node not in known)
        if len(set(graph.nodes)) != len(graph.nodes):
            yield f"{moment}: a node stands twice"


@duty(SECTION, "GRAPH-7/closure", needs=GRAPH)
def _closure(view: View) -> Iterator[str]:
    """Whatever a record names is a record too."""
    for moment, graph in _graphs(view):
        known = graph.by_id
        for record in graph.tensors:
            if strangers := [name for name in record.references if name not in known]:
                yield f"{moment}: {record} names {strangers[0]:#x}, which is no record"


@duty(SECTION, "GRAPH-8/order", needs=GRAPH)
def _order(view: View) -> Iterator[str]:
    """Operands that are nodes stand before the node that reads them."""
    for moment, graph in _graphs(view):
        known, place = graph.by_id, {node: at for at, node in enumerate(graph.nodes)}
        for at, node in enumerate(graph.nodes):
            late = (
                [name for name in known[node].references if name in place and place[name] > at] if node in known else []
            )
            if late:
                yield f"{moment}: {known[node]} stands before {known[late[0]]}, which it reads"


@duty(SECTION, "GRAPH-9/self", needs=GRAPH)
def _itself(view: View) -> Iterator[str]:
    """Only a CPY names itself, in its second slot."""
    copy = view.codec.dialect.op("CPY").number
    for moment, graph in _graphs(view):
        for record in graph.tensors:
            others = [name for slot, name in enumerate(record.src) if slot != COPY_SLOT or record.op != copy]
            if record.id in (*others, record.view_src):
                yield f"{moment}: {record} names itself"


@duty(SECTION, "GRAPH-10/ops", needs=GRAPH)
def _ops(view: View) -> Iterator[str]:
    """Every op is one of the table, and no node has one that is never accepted."""
    table = view.codec.dialect.ops
    for moment, graph in _graphs(view):
        by_id = graph.by_id
        yield from (f"{moment}: {each} has op {each.op}" for each in graph.tensors if each.op >= len(table))
        for record in (by_id[node] for node in graph.nodes if node in by_id):
            if record.op < len(table) and table[record.op].never_accepted:
                yield f"{moment}: {record} has {table[record.op].name}"


@duty(SECTION, "GRAPH-14/here", needs=GRAPH)
def _here(view: View) -> Iterator[str]:
    """What executes, and what it reads, has bytes here."""
    compute = next(v.value for v in view.codec.dialect.enums["TensorFlag"].values if v.name == "COMPUTE")
    for moment, graph in _graphs(view):
        known = graph.by_id
        for record in (known[node] for node in graph.nodes if node in known):
            if not (record.flags & compute and _executes(view, record)):
                continue
            far = [each for each in (record, *_operands(record, known)) if each.elements and each.buffer == 0]
            if far:
                yield f"{moment}: {far[0]}, of {record}, has no buffer"


def _executes(view: View, record: Record) -> bool:
    return record.op < len(view.codec.dialect.ops) and view.codec.dialect.ops[record.op].executes


def _operands(record: Record, known: dict[int, Record]) -> list[Record]:
    return [known[name] for name in record.src if name in known]


@duty(SECTION, "GRAPH-31/inside-the-source", needs=GRAPH)
def _inside_the_source(view: View) -> Iterator[str]:
    """Views lie inside the tensor whose bytes they share."""
    for moment, graph in _graphs(view):
        known = graph.by_id
        for record in graph.tensors:
            source = known.get(record.view_src)
            if source is None or not record.buffer or not source.buffer or not record.elements:
                continue
            begin = record.data - source.data
            if begin < 0 or begin + record.span(view.codec) > source.span(view.codec):
                yield f"{moment}: {record} passes {source}"


@duty(SECTION, "GRAPH-23/remembered", needs=AGAIN)
def _remembered(view: View) -> Iterator[str]:
    """Only a graph that was sent on the connection runs again."""
    sent: set[tuple[int, int, int]] = set()
    for moment in view.moments(GRAPH, AGAIN):
        graph = _name(view, moment)
        if moment.asked.command == GRAPH:
            sent.add(graph)
        elif graph not in sent:
            yield f"{moment}: device {graph[1]}, uid {graph[2]} was not sent"


@duty(SECTION, "GRAPH-35/after-a-free", needs=AGAIN)
def _after_a_free(view: View) -> Iterator[str]:
    """After FREE_BUFFER a graph is sent before it runs again: some servers have forgotten them all."""
    sent: set[tuple[int, int, int]] = set()
    for moment in view.moments(GRAPH, AGAIN, "FREE_BUFFER"):
        graph = _name(view, moment)
        if moment.asked.command == "FREE_BUFFER":
            sent = {each for each in sent if each[0] != moment.talk}
        elif moment.asked.command == GRAPH:
            sent.add(graph)
        elif graph not in sent:
            yield f"{moment}: device {graph[1]}, uid {graph[2]} was not sent since the last FREE_BUFFER"


def _name(view: View, moment: Moment) -> tuple[int, int, int]:
    """Connection, device and uid of a graph."""
    fields = fields_of(view.codec, moment.asked)
    device, uid = (fields.get(name, 0) for name in ("device", "uid"))
    return moment.talk, device if isinstance(device, int) else 0, uid if isinstance(uid, int) else 0


@duty(SECTION, "GRAPH-25/not-uid-0", needs=AGAIN)
def _not_uid_0(view: View) -> Iterator[str]:
    """Uid 0 names no graph."""
    yield from (f"{moment} has uid 0" for moment in view.moments(AGAIN) if _name(view, moment)[2] == 0)


@duty(SECTION, "GRAPH-35/few-uids", needs=GRAPH)
def _few_uids(view: View) -> Iterator[str]:
    """So few uids are used that no set of graphs is ever emptied."""
    most = view.codec.dialect.constant("GRAPHS_PER_DEVICE")
    used: dict[tuple[int, int], set[int]] = {}
    for moment in view.moments(GRAPH):
        talk, device, uid = _name(view, moment)
        used.setdefault((talk, device), set()).add(uid)
    for (talk, device), uids in used.items():
        if len(uids) > most:
            yield f"connection {talk} uses {len(uids)} uids on device {device}"


CASES = SECTION.cases
