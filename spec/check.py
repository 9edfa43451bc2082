"""Does the specification agree with itself, and with what was measured? `python -m spec.check` lists what does not.

Every check takes the data, and the prose where it needs it, and yields one line for each fault; none stops at the
first.
check_op_tables.py has those about ops and types; measured.py has the numbers that were read off running programs.
"""

import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping

from spec.check_op_tables import check_enums, check_ops, check_types
from spec.dialect import CommandDef, Dialect
from spec.load import Spec, load
from spec.measured import BODY_BYTES, FIXED_PART_BYTES, NO_REPLY
from spec.prose import clauses_in, texts
from spec.render import stale
from spec.schema import Held, parse_version

__all__ = ["faults", "main"]

Prose = Mapping[str, str]
_CITED = re.compile(r"\b([A-Z]+)-(\d+|[A-Z][A-Z0-9_]+(?:-[A-Z]+)*)\b")
_PAGE = re.compile(r"^<!-- begin rendered: command (\w+) -->$", re.MULTILINE)
_WORDS = re.compile(r"[a-z_]\w*")


def faults(spec: Spec, prose: Prose) -> list[str]:
    """Everything that is wrong with the data, the prose, or the two together; rendered files are main's business."""
    found = [line for check in (_check_clauses, _check_prose) for line in check(spec, prose)]
    for check_data in (_check_versions, _check_phases, _check_fnv, check_enums):
        found += check_data(spec)
    per_dialect: tuple[Callable[[Dialect], Iterator[str]], ...] = (
        _check_commands,
        _check_sizes,
        check_types,
        check_ops,
    )
    for entry in spec.dialect_entries:
        dialect = spec.dialect(entry.version)
        found += [f"{entry.version}: {line}" for check_one in per_dialect for line in check_one(dialect)]
        if len(dialect.ops) != entry.op_count:
            found.append(f"{entry.version}: {len(dialect.ops)} ops instead of {entry.op_count}")
        if (numbers := sorted([*dialect.types, *dialect.withdrawn])) != list(range(entry.type_count)):
            found.append(f"{entry.version}: type numbers are {numbers}, not 0 to {entry.type_count - 1}")
    return found


def main() -> int:
    """Print every fault; 1 when there is any."""
    spec = load()
    found = faults(spec, texts())
    found += [f"spec/{path} is stale: run python -m spec.render" for path in stale(spec)]
    for line in found:
        print(line, file=sys.stderr)
    if not found:
        print(f"spec: {', '.join(spec.versions)} agree with prose, tables and measured numbers")
    return 1 if found else 0


def _cited(spec: Spec) -> Iterator[tuple[str, str]]:
    """(clause id, where in the data) for every clause that the data refers to."""
    for constant in spec.constants:
        yield constant.clause, f"constant {constant.name}"
    for phase in spec.phases:
        yield phase.clause, f"phase {phase.name}"
    for struct in spec.structs:
        yield struct.clause, f"struct {struct.name}"
        yield from ((field.clause, f"{struct.name}.{field.name}") for field in struct.fields)
    for tail in spec.tails:
        yield tail.clause, f"tail {tail.name}"
        yield from ((part.clause, f"tail {tail.name}, {part.name}") for part in tail.parts)
    for command in spec.commands:
        yield from ((clause, f"command {command.name}") for clause in command.clauses)
    yield from ((element.clause, f"type {element.name}") for element in spec.types)
    yield from ((gone.clause, f"withdrawn type {gone.name}") for gone in spec.withdrawn)
    yield from ((op.clause, f"op {op.name}") for op in spec.ops)


def _check_clauses(spec: Spec, prose: Prose) -> Iterator[str]:
    """Every clause that the data cites exists; no id stands twice."""
    ids = Counter(clause.id for file, text in prose.items() for clause in clauses_in(file, text))
    yield from (f"clause {clause} stands {count} times in the prose" for clause, count in ids.items() if count > 1)
    for clause, where in _cited(spec):
        if clause not in ids:
            yield f"{where}: no clause {clause} in the prose"


def _check_prose(spec: Spec, prose: Prose) -> Iterator[str]:
    """Every command has its page, references resolve, a clause is a sentence, its bounds are described versions."""
    pages = [name for text in prose.values() for name in _PAGE.findall(text)]
    for command in spec.commands:
        if pages.count(command.name) != 1:
            yield f"the prose describes {command.name} {pages.count(command.name)} times"
    found = [clause for file, text in prose.items() for clause in clauses_in(file, text)]
    ids, families = {clause.id for clause in found}, {clause.family for clause in found}
    for clause in found:
        if not clause.text.endswith("."):
            yield f"{clause.file}: {clause.id} is no sentence"
        for bound in (clause.since, clause.until):
            if bound is not None and bound not in spec.versions:
                yield f"{clause.file}: {clause.id} is bounded by {bound}, which the data does not describe"
        for match in _CITED.finditer(clause.text):
            if match[1] in families and match[0] not in ids:
                yield f"{clause.file}: {clause.id} refers to {match[0]}, which does not exist"


def _check_versions(spec: Spec) -> Iterator[str]:
    """Bounds are versions, in order, and not older than the beginning of the data."""
    inner: list[Held] = [field for struct in spec.structs for field in struct.fields]
    inner += [value for enum in spec.enums for value in enum.values]
    inner += [operand for op in spec.ops for operand in op.operands]
    inner += [param for op in spec.ops for param in op.params]
    inner += [reply for command in spec.commands for reply in command.reply]
    floor = parse_version(spec.floor)
    outer: tuple[Held, ...] = (*spec.constants, *spec.structs, *spec.commands, *spec.types, *spec.ops)
    for entry in (*outer, *inner):
        where = getattr(entry, "name", "a reply")
        since = parse_version(entry.since) if entry.since else floor
        if since < floor:
            yield f"{where}: since {entry.since} is older than the floor, {spec.floor}"
        if entry.until and parse_version(entry.until) <= since:
            yield f"{where}: until {entry.until} is not after since"


def _check_phases(spec: Spec) -> Iterator[str]:
    """Commands name phases that exist; every phase but the last can be left; each is reached."""
    names = {phase.name for phase in spec.phases}
    reached = {"greeting", "closed"}
    for command in spec.commands:
        for phase in (*command.phase, *([command.next] if command.next else [])):
            if phase not in names:
                yield f"command {command.name}: no phase {phase}"
        if not command.phase:
            yield f"command {command.name} is legal in no phase"
        reached |= {command.next} if command.next else set()
    yield from (f"phase {phase} cannot be reached" for phase in sorted(names - reached))


def _check_fnv(spec: Spec) -> Iterator[str]:
    """The constants give the hashes of the test vectors."""
    constants = {constant.name: constant.value for constant in spec.constants}
    for vector in spec.fnv_vectors:
        value = constants["FNV_OFFSET"]
        for byte in vector.text.encode():
            value = (value ^ byte) * constants["FNV_PRIME"] % (1 << 64)
        if value != vector.hash:
            yield f"FNV-1a of {vector.text!r} is {value:#x}, not {vector.hash:#x}"


def _check_commands(dialect: Dialect) -> Iterator[str]:
    """Numbers without gaps; requests, tails and replies exist; no struct is left over."""
    if sorted(dialect.commands) != list(range(len(dialect.commands))):
        yield f"command numbers are {sorted(dialect.commands)}"
    used = {"rpc_tensor"}
    for command in dialect.commands.values():
        for struct in (command.request, command.reply):
            if struct is not None and struct not in ("empty", "bytes"):
                used.add(struct)
                if struct not in dialect.structs:
                    yield f"{command.name}: no struct {struct}"
        if command.tail is not None and command.tail not in dialect.tails:
            yield f"{command.name}: no tail {command.tail}"
        if command.reply == "bytes" and not _names_fields(dialect, command):
            yield f"{command.name}: reply length {command.reply_length!r} does not name request fields"
    yield from (f"struct {name} belongs to no command" for name in dialect.structs if name not in used)


def _names_fields(dialect: Dialect, command: CommandDef) -> bool:
    struct = dialect.structs.get(command.request or "")
    words = _WORDS.findall(command.reply_length)
    return struct is not None and bool(words) and set(words) <= {field.name for field in struct.fields}


def _check_sizes(dialect: Dialect) -> Iterator[str]:
    """Sizes and unanswered commands are those that were measured."""
    for struct, size in FIXED_PART_BYTES.items():
        if dialect.structs[struct].size != size:
            yield f"struct {struct} has {dialect.structs[struct].size} bytes, measured were {size}"
    for name, (request, reply) in BODY_BYTES[dialect.name].items():
        command = dialect.command(name)
        structs = (dialect.structs.get(struct or "") for struct in (command.request, command.reply))
        sizes = tuple(struct.size if struct else None for struct in structs)
        if sizes != (request or None, reply):
            yield f"{name}: request and reply of {sizes} bytes, measured were {(request or None, reply)}"
    silent = {command.name for command in dialect.commands.values() if not command.answered}
    if silent != NO_REPLY[dialect.name]:
        yield f"unanswered commands differ from the measured: {sorted(silent ^ NO_REPLY[dialect.name])}"


if __name__ == "__main__":
    sys.exit(main())
