"""The chapter about single ops, made from data/ops.toml: for each op one numbered clause, its operands, its parameters.

Markdown text only; every function returns it without a newline at the end.
"""

from spec.dialect import OpDef
from spec.load import Spec
from spec.schema import OperandEntry, ParamEntry

__all__ = ["ops_pages"]


def ops_pages(spec: Spec) -> str:
    """All ops of the newest version in the order of their numbers; a heading, a clause and two lists for each."""
    since = {entry.name: entry.since for entry in spec.ops}
    return "\n\n".join(_page(op, since[op.name]) for op in spec.dialect(spec.newest).ops)


def _page(op: OpDef, since: str | None) -> str:
    number = f"### {op.number} {op.name}" + (f" (since {since})" if since else "")
    if op.never_accepted:
        clause = f"**{op.clause}** (MUST) Never accepted: a node with this op closes the connection. {op.rule}"
    else:
        clause = f"**{op.clause}** (MUST) {op.rule}"
    parts = [number, clause, f"Result: {op.shape}." + (" It may share the bytes of an operand." if op.in_place else "")]
    if op.operands:
        parts.append("\n".join(_operand(operand) for operand in op.operands))
    if op.params:
        parts.append("\n".join(_param(param) for param in op.params))
    if op.note:
        parts.append(op.note)
    return "\n\n".join(parts)


def _operand(operand: OperandEntry) -> str:
    optional = " (may be absent)" if operand.optional else ""
    return f"- src[{operand.slot}] `{operand.name}`{optional}: {operand.types}; {operand.shape}"


def _param(param: ParamEntry) -> str:
    last = param.word + param.count * (2 if param.type == "u64" else 1) - 1
    words = f"op_params[{param.word}]" if last == param.word else f"op_params[{param.word}..{last}]"
    codes = f", codes of {param.enum}" if param.enum else ""
    since = f" (since {param.since})" if param.since else ""
    return f"- {words} `{param.name}`, {param.type}{codes}{since}: {param.doc}"
