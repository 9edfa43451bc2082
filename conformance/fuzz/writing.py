"""A finding becomes a file: the steps that lead to it, with the requests in words."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import attrs

from conformance.fuzz.layout import layouts
from conformance.fuzz.model.tensors import Tensor
from conformance.fuzz.script import Message, Say, Script, Step, write_script
from conformance.fuzz.stage import Finding
from conformance.judge.codec import HEAD_BYTES, SIZE_BYTES, Codec, number
from conformance.judge.words import in_words

__all__ = ["write_finding"]


def write_finding(codec: Codec, steps: Sequence[Step], finding: Finding, path: Path, found: Mapping[str, str]) -> Path:
    """Write the script, in its folder, which is made; returns where."""
    path.parent.mkdir(parents=True, exist_ok=True)
    about = {
        "verdict": str(finding.verdict),
        "clause": finding.clause,
        "command": finding.command,
        "expected": finding.expected,
        "came": finding.came,
        **found,
    }
    spoken = tuple(_spoken(codec, step) if isinstance(step, Say) else step for step in steps)
    write_script(Script(version=codec.dialect.name, steps=spoken, found=about), path)
    return path


def _spoken(codec: Codec, say: Say) -> Say:
    """The step with its requests in words behind what was mutated."""
    return attrs.evolve(say, words=(*say.words, *in_words(codec, say.message.data), *_records(codec, say.message)))


def _records(codec: Codec, message: Message) -> list[str]:
    """The records of the graphs in a message; handles and bases that are filled in later are 0 here."""
    dialect, lines, data, at = codec.dialect, list[str](), message.data, 0
    layout, compute = layouts(dialect)["rpc_tensor"], dialect.command("GRAPH_COMPUTE")
    while at + HEAD_BYTES <= len(data):
        begin, size = at + HEAD_BYTES, number(data[at + HEAD_BYTES - SIZE_BYTES : at + HEAD_BYTES])
        if data[at] == compute.number:
            lines += _graph(codec, data[begin : begin + size], layout.size)
        at = begin + size
    return lines


def _graph(codec: Codec, body: bytes, size: int) -> list[str]:
    """One line for each record, counted from the end: a list of nodes of any length stands before them."""
    layout, dialect = layouts(codec.dialect)["rpc_tensor"], codec.dialect
    count = (len(body) - codec.fixed_bytes("GRAPH_COMPUTE")) // size
    first = len(body) - count * size
    return [_record(codec, Tensor.read(layout, dialect, body, first + at * size)) for at in range(count)]


def _record(codec: Codec, tensor: Tensor) -> str:
    ops = codec.dialect.ops
    op = ops[tensor.op].name if tensor.op < len(ops) else f"op {tensor.op}"
    kind = tensor.kind.name if tensor.kind else "no type"
    srcs = ", ".join(str(each) for each in tensor.src if each)
    said = f"record {tensor.id}: {op}({srcs}) {kind} ne {list(tensor.ne)} nb {list(tensor.nb)} flags {tensor.flags}"
    params = list(tensor.params)
    return f"{said} params {params}" if any(params) else said
