"""Checks of ops, element types and enumerations; each yields one line for each fault. check.py runs them."""

from collections import Counter
from collections.abc import Iterator

from spec.dialect import SCALAR_BYTES, Dialect, OpDef
from spec.load import Spec
from spec.measured import BLOCKS

__all__ = ["check_enums", "check_ops", "check_types"]

_WORD_BYTES = 4
_NEVER_ACCEPTED = {"MAP_CUSTOM1", "MAP_CUSTOM2", "MAP_CUSTOM3", "CUSTOM"}
_NOT_EXECUTED = {"NONE", "RESHAPE", "VIEW", "PERMUTE", "TRANSPOSE"}


def check_types(dialect: Dialect) -> Iterator[str]:
    """Block sizes are the measured ones, and the parts of a block fill it exactly."""
    for element in dialect.types.values():
        if BLOCKS.get(element.number) != (element.name, element.block, element.bytes):
            yield f"type {element.name}: measured was {BLOCKS.get(element.number)}"
        unknown = [part.type for part in element.layout if part.type not in SCALAR_BYTES]
        if unknown:
            yield f"type {element.name}: its block has a part of type {unknown[0]}, which is no scalar"
        elif (filled := sum(SCALAR_BYTES[part.type] * part.count for part in element.layout)) != element.bytes:
            yield f"type {element.name}: the parts of a block have {filled} bytes, not {element.bytes}"
    yield from (f"type number {n} names a type and is withdrawn" for n in dialect.withdrawn if n in dialect.types)


def check_ops(dialect: Dialect) -> Iterator[str]:
    """Names are unique, slots and words fit the record, flags stand on the right ops, every op says what it does."""
    names = Counter(op.name for op in dialect.ops)
    yield from (f"op {name} stands {count} times" for name, count in names.items() if count > 1)
    if (never := {op.name for op in dialect.ops if op.never_accepted}) != _NEVER_ACCEPTED:
        yield f"ops that are never accepted: {sorted(never ^ _NEVER_ACCEPTED)} should be the other way"
    if (still := {op.name for op in dialect.ops if not op.executes}) != _NOT_EXECUTED:
        yield f"ops that do not execute: {sorted(still ^ _NOT_EXECUTED)} should be the other way"
    for op in dialect.ops:
        yield from (f"op {op.name}: {fault}" for fault in _op_faults(dialect, op))


def _op_faults(dialect: Dialect, op: OpDef) -> Iterator[str]:
    if op.clause != f"OP-{op.name}":
        yield f"its clause is {op.clause}"
    if not op.rule.endswith(".") or not op.shape:
        yield "its rule is no sentence, or its shape is missing"
    slots = [operand.slot for operand in op.operands]
    if slots != list(range(len(slots))) or len(slots) > dialect.constant("MAX_SRC"):
        yield f"operands stand in slots {slots}"
    required = [not operand.optional for operand in op.operands]
    if required != sorted(required, reverse=True):
        yield "an operand that may be absent stands before one that may not"
    taken: Counter[int] = Counter()
    for param in op.params:
        if param.type not in ("i32", "f32", "u64"):
            yield f"parameter {param.name} has type {param.type}"
            continue
        width = SCALAR_BYTES[param.type] // _WORD_BYTES * param.count
        taken.update(range(param.word, param.word + width))
        if param.enum is not None and param.enum not in dialect.enums:
            yield f"parameter {param.name} has codes of {param.enum}, which is no enumeration"
    if any(count > 1 for count in taken.values()):
        yield "two parameters share a word"
    if taken and max(taken) >= dialect.constant("MAX_OP_PARAMS") // _WORD_BYTES:
        yield f"word {max(taken)} is outside op_params"


def check_enums(spec: Spec) -> Iterator[str]:
    """Within an enumeration no name and no code stands twice."""
    for entry in spec.enums:
        for what in ("name", "value"):
            counts = Counter(getattr(value, what) for value in entry.values)
            yield from (f"enumeration {entry.name}: {what} {key} stands twice" for key, n in counts.items() if n > 1)
