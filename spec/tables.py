"""What stands between rendered marks in the prose: each function makes one kind of table from the data, as Markdown.

A mark reads ``<!-- begin rendered: KIND NAME -->``; TABLES maps KIND to its function, which takes the data and NAME.
Where described versions differ, a cell names them; where they agree, it does not.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

from spec.dialect import CommandDef, Dialect, FieldDef, StructDef
from spec.load import Spec
from spec.op_pages import ops_pages
from spec.schema import TailPart

__all__ = ["TABLES", "grid"]


def grid(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table; bars inside cells are escaped."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(str(cell).replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def _dialects(spec: Spec) -> list[Dialect]:
    return [spec.dialect(version) for version in spec.versions]


def _by_version(spec: Spec, tell: Callable[[Dialect], str | None]) -> str:
    """What `tell` says of each version that has the thing (None: it has not), in as few words as possible."""
    said = {dialect.name: tell(dialect) for dialect in _dialects(spec)}
    known = {name: words for name, words in said.items() if words is not None}
    if len(set(known.values())) == 1 and len(known) == len(said):
        return next(iter(known.values()))
    return "; ".join(f"{name}: {words}" for name, words in known.items())


def _type(field: FieldDef | TailPart) -> str:
    count = str(field.count)
    return field.type if count == "1" else f"{field.type}[{count}]"


def _struct_table(spec: Spec, name: str) -> str:
    """Fields of a struct, over all described versions."""
    newest = next(d.structs[name] for d in reversed(_dialects(spec)) if name in d.structs)

    def offset(field: str) -> str:
        def tell(dialect: Dialect) -> str | None:
            struct = dialect.structs.get(name)
            found = [f for f in struct.fields if f.name == field] if struct else []
            return str(found[0].offset) if found else None

        absent = [d.name for d in _dialects(spec) if name not in d.structs]
        return str(newest.field(field).offset) if absent else _by_version(spec, tell)

    rows = [(offset(f.name), f.size, f"`{f.name}`", _type(f), f.unit, f.clause, f.doc) for f in newest.fields]
    return grid(("offset", "bytes", "field", "type", "unit", "clause", "meaning"), rows)


def _tail_table(spec: Spec, name: str) -> str:
    tail = next(tail for tail in spec.tails if tail.name == name)
    rows = [(f"`{part.name}`", _type(part), part.unit, part.clause, part.doc) for part in tail.parts]
    return grid(("then", "type", "unit", "clause", "meaning"), rows)


def _bytes(struct: StructDef) -> str:
    return "1 byte" if struct.size == 1 else f"{struct.size} bytes"


def _request_words(dialect: Dialect, command: CommandDef) -> str:
    fixed = _bytes(dialect.structs[command.request]) if command.request else "empty"
    return fixed if command.tail is None else f"{fixed} and a tail"


def _reply_words(dialect: Dialect, command: CommandDef) -> str:
    if command.reply is None:
        return "none"
    if command.reply == "empty":
        return "0 bytes"
    if command.reply == "bytes":
        return f"`{command.reply_length}` bytes"
    return _bytes(dialect.structs[command.reply])


def _since(spec: Spec, command: CommandDef) -> str:
    entry = next(entry for entry in spec.commands if entry.number == command.number)
    return entry.since or ""


def _told(spec: Spec, number: int, words: Callable[[Dialect, CommandDef], str]) -> str:
    """A cell about a command; versions that lack the command do not count as different."""
    having = [(d, d.commands[number]) for d in _dialects(spec) if number in d.commands]
    said = {d.name: words(d, command) for d, command in having}
    if len(set(said.values())) == 1:
        return next(iter(said.values()))
    return "; ".join(f"{name}: {text}" for name, text in said.items())


def _command_page(spec: Spec, name: str) -> str:
    """Everything that the data says of one command."""
    command = spec.dialect(spec.newest).command(name)
    since = _since(spec, command)
    facts = [
        ("number", f"{command.number}" + (f", since {since}" if since else "")),
        ("request", _told(spec, command.number, _request_words)),
        ("reply", _told(spec, command.number, _reply_words)),
        ("legal in", ", ".join(command.phase)),
        ("precondition", command.precondition),
        ("violation", command.violation),
        ("clauses", ", ".join(command.clauses)),
    ]
    parts = [grid((name, command.doc), facts)]
    if command.request:
        parts.append(f"Request of {name}:\n\n" + _struct_table(spec, command.request))
    if command.tail:
        parts.append(_tail_table(spec, command.tail))
    if command.reply and command.reply not in ("empty", "bytes"):
        parts.append(f"Reply to {name}:\n\n" + _struct_table(spec, command.reply))
    return "\n\n".join(parts)


def _commands_table(spec: Spec, _: str) -> str:
    """All commands with their sizes."""
    rows = [
        (
            command.number,
            command.name,
            _told(spec, command.number, _request_words),
            _told(spec, command.number, _reply_words),
            _since(spec, command),
        )
        for command in spec.dialect(spec.newest).commands.values()
    ]
    return grid(("number", "command", "request", "reply", "since"), rows)


def _phases_table(spec: Spec, _: str) -> str:
    """Phases, and what is legal in each."""
    newest = spec.dialect(spec.newest)
    after = newest.transitions()
    rows = []
    for phase in spec.phases:
        legal = [(command, then) for (at, command), then in after.items() if at == phase.name]
        words = ", ".join(command for command, _ in legal) or "nothing"
        then = ", ".join(sorted({then for _, then in legal})) or "-"
        rows.append((phase.name, phase.doc, words, then, phase.clause))
    return grid(("phase", "meaning", "legal", "next", "clause"), rows)


def _types_table(spec: Spec, _: str) -> str:
    """Numbers, block lengths and block sizes, withdrawn numbers included."""
    rows: list[tuple[object, ...]] = [
        (t.number, t.name, t.block, t.bytes, t.kind, t.since or "", t.doc) for t in spec.types
    ]
    rows += [(t.number, f"({t.name})", "", "", "withdrawn", "", f"See {t.clause}.") for t in spec.withdrawn]
    rows.sort(key=lambda row: int(str(row[0])))
    return grid(("number", "type", "elements per block", "bytes per block", "kind", "since", "value"), rows)


def _blocks_table(spec: Spec, _: str) -> str:
    """Parts of every quantised block."""
    rows = []
    for element in spec.types:
        if element.block > 1:
            for part in element.layout:
                kind = part.type if part.count == 1 else f"{part.type}[{part.count}]"
                rows.append((element.name, f"`{part.name}`", kind, part.doc))
    return grid(("type", "part", "stored as", "meaning"), rows)


def _enum_table(spec: Spec, name: str) -> str:
    """Codes of an enumeration."""
    entry = next(entry for entry in spec.enums if entry.name == name)
    rows = [(value.value, value.name, value.since or "", value.doc) for value in entry.values]
    return f"{entry.doc}\n\n" + grid((name, "name", "since", "meaning"), rows)


def _constants_table(spec: Spec, _: str) -> str:
    """Constants; large ones in hexadecimal."""
    rows = [
        (c.name, f"{c.value:#x}" if c.value > 1 << 32 else c.value, c.unit, c.since or "", c.clause, c.doc)
        for c in spec.constants
    ]
    return grid(("constant", "value", "unit", "since", "clause", "meaning"), rows)


def _fnv_table(spec: Spec, _: str) -> str:
    """Test vectors of the cache's hash."""
    return grid(("payload (UTF-8)", "hash"), [(f'"{v.text}"', f"`{v.hash:016x}`") for v in spec.fnv_vectors])


def _dialects_table(spec: Spec, _: str) -> str:
    """Versions that the data describes in full."""
    rows = [(d.version, d.op_count, d.type_count, d.read_from, d.doc) for d in spec.dialect_entries]
    return grid(("version", "ops", "type numbers", "read from", "what is new"), rows)


TABLES: Mapping[str, Callable[[Spec, str], str]] = {
    "struct": _struct_table,
    "command": _command_page,
    "commands": _commands_table,
    "phases": _phases_table,
    "types": _types_table,
    "blocks": _blocks_table,
    "enum": _enum_table,
    "constants": _constants_table,
    "fnv": _fnv_table,
    "dialects": _dialects_table,
    "ops": lambda spec, _: ops_pages(spec),
}
"""kind of a rendered mark > what makes it; the families of README.md come from the prose itself (render.py)"""
