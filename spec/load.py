"""TOML > frozen classes. Unknown keys are refused, so a typing error in the data cannot pass for an absent value.

`load()` reads the data files that lie beside this module, once; a dialect is filtered and worked out on first use.
Raises SpecError for data that cannot be read, UnknownDialect for a version that is not described.
"""

import functools
import tomllib
from importlib import resources
from typing import Any, TypeVar

import attrs
import cattrs

from spec.dialect import SCALAR_BYTES, CommandDef, Dialect, FieldDef, OpDef, StructDef, TypeDef
from spec.schema import (
    CommandEntry,
    ConstantEntry,
    DialectEntry,
    EnumEntry,
    FieldEntry,
    FnvVector,
    Held,
    OpEntry,
    PhaseEntry,
    StructEntry,
    TailEntry,
    TypeEntry,
    Version,
    WithdrawnType,
    holds,
    parse_version,
)

__all__ = ["FILES", "Spec", "SpecError", "UnknownDialect", "load", "read"]

Entry = TypeVar("Entry", bound=Held)
Exact = TypeVar("Exact")
FILES = ("dialects", "structs", "commands", "types", "ops")
"""data files, without their ending"""


class SpecError(Exception):
    """The data files do not say what the schema allows."""


class UnknownDialect(SpecError):
    """A protocol version that the data does not describe."""


@attrs.frozen(kw_only=True, eq=False)
class Spec:
    """All data files, unfiltered; every attribute is named after its table. Compared by identity."""

    floor: str
    dialect_entries: tuple[DialectEntry, ...] = attrs.field(alias="dialect")
    constants: tuple[ConstantEntry, ...] = attrs.field(alias="constant")
    fnv_vectors: tuple[FnvVector, ...] = attrs.field(alias="fnv_vector")
    phases: tuple[PhaseEntry, ...] = attrs.field(alias="phase")
    structs: tuple[StructEntry, ...] = attrs.field(alias="struct")
    tails: tuple[TailEntry, ...] = attrs.field(alias="tail")
    commands: tuple[CommandEntry, ...] = attrs.field(alias="command")
    types: tuple[TypeEntry, ...] = attrs.field(alias="type")
    withdrawn: tuple[WithdrawnType, ...] = attrs.field(alias="withdrawn")
    ops: tuple[OpEntry, ...] = attrs.field(alias="op")
    enums: tuple[EnumEntry, ...] = attrs.field(alias="enum")

    @property
    def versions(self) -> tuple[str, ...]:
        """Versions that are described in full, oldest first."""
        return tuple(entry.version for entry in self.dialect_entries)

    @property
    def newest(self) -> str:
        """The newest version that is described."""
        return self.versions[-1]

    def dialect(self, version: str) -> Dialect:
        """What is in force in a described version; UnknownDialect for any other."""
        for entry in self.dialect_entries:
            if entry.version == version:
                return _dialect(self, parse_version(version))
        raise UnknownDialect(f"protocol {version} is not described here; known: {', '.join(self.versions)}")

    def at(self, version: str) -> Dialect:
        """What since and until leave of the data at any version from the floor on, described in full or not."""
        triple = parse_version(version)
        if triple < parse_version(self.floor):
            raise UnknownDialect(f"the data begins with {self.floor}; it says nothing about {version}")
        return _dialect(self, triple)


@functools.cache
def load() -> Spec:
    """The specification that is installed with this package."""
    folder = resources.files("spec") / "data"
    return read({name: (folder / f"{name}.toml").read_text(encoding="utf-8") for name in FILES})


def read(texts: dict[str, str]) -> Spec:
    """File name > TOML text, for all of FILES; raises SpecError naming the file and the key."""
    tables: dict[str, Any] = {}
    for name, text in texts.items():
        try:
            parsed = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise SpecError(f"{name}.toml: {error}") from error
        if twice := tables.keys() & parsed.keys():
            raise SpecError(f"{name}.toml: table {min(twice)} already stands in another file")
        tables.update(parsed)
    converter = cattrs.Converter(forbid_extra_keys=True, prefer_attrib_converters=True, use_alias=True)
    converter.register_structure_hook(str, _exact(str))
    converter.register_structure_hook(int, _exact(int))
    converter.register_structure_hook(bool, _exact(bool))
    try:
        return converter.structure(tables, Spec)
    except (cattrs.BaseValidationError, cattrs.ForbiddenExtraKeysError) as error:
        raise SpecError("; ".join(cattrs.transform_error(error))) from error


def _exact(kind: type[Exact]) -> Any:
    """A structure hook that takes values of exactly this type: TOML is typed already."""

    def check(value: Any, _: Any) -> Exact:
        if type(value) is not kind:
            raise ValueError(f"{value!r} should be {kind.__name__}")
        return value

    return check


@functools.cache
def _dialect(spec: Spec, version: Version) -> Dialect:
    def held(entries: tuple[Entry, ...]) -> list[Entry]:
        return [entry for entry in entries if holds(entry.since, entry.until, version)]

    structs = _structs(held(spec.structs), version)
    commands = [_command(entry, version) for entry in held(spec.commands)]
    types = [_type(entry) for entry in held(spec.types)]
    _refuse_twins("command", [command.number for command in commands])
    _refuse_twins("type", [element.number for element in types])
    return Dialect(
        version=version,
        hello=next((d.hello for d in spec.dialect_entries if parse_version(d.version) == version), version),
        commands={command.number: command for command in commands},
        structs=structs,
        tails={tail.name: tail for tail in spec.tails},
        ops=tuple(_op(entry, number, version) for number, entry in enumerate(held(spec.ops))),
        types={element.number: element for element in types},
        withdrawn={entry.number: entry for entry in spec.withdrawn},
        enums={entry.name: attrs.evolve(entry, values=tuple(held(entry.values))) for entry in spec.enums},
        constants={entry.name: entry for entry in held(spec.constants)},
        phases=spec.phases,
    )


def _refuse_twins(kind: str, numbers: list[int]) -> None:
    for number in numbers:
        if numbers.count(number) > 1:
            raise SpecError(f"{kind}s.toml: two {kind}s have the number {number}")


def _structs(entries: list[StructEntry], version: Version) -> dict[str, StructDef]:
    """Structs by name, offsets worked out; a struct may hold only structs that stand before it."""
    sizes = dict(SCALAR_BYTES)
    structs: dict[str, StructDef] = {}
    for entry in entries:
        fields: list[FieldDef] = []
        offset = 0
        for field in entry.fields:
            if not holds(field.since, field.until, version):
                continue
            if field.type not in sizes:
                raise SpecError(f"structs.toml: {entry.name}.{field.name}: no type {field.type} stands before it")
            fields.append(_field(field, offset, sizes[field.type] * field.count))
            offset = fields[-1].offset + fields[-1].size
        sizes[entry.name] = offset
        structs[entry.name] = StructDef(
            name=entry.name, size=offset, clause=entry.clause, doc=entry.doc, fields=tuple(fields)
        )
    return structs


def _field(entry: FieldEntry, offset: int, size: int) -> FieldDef:
    return FieldDef(
        name=entry.name,
        type=entry.type,
        count=entry.count,
        offset=offset,
        size=size,
        unit=entry.unit,
        clause=entry.clause,
        doc=entry.doc,
    )


def _command(entry: CommandEntry, version: Version) -> CommandDef:
    replies = [reply for reply in entry.reply if holds(reply.since, reply.until, version)]
    if len(replies) > 1:
        raise SpecError(f"commands.toml: {entry.name} has {len(replies)} replies in {version}")
    return CommandDef(
        number=entry.number,
        name=entry.name,
        request=entry.request,
        tail=entry.tail,
        reply=replies[0].kind if replies else None,
        reply_length=replies[0].length if replies else "",
        phase=entry.phase,
        next=entry.next,
        clauses=entry.clauses,
        precondition=entry.precondition,
        violation=entry.violation,
        doc=entry.doc,
    )


def _op(entry: OpEntry, number: int, version: Version) -> OpDef:
    return OpDef(
        number=number,
        name=entry.name,
        clause=entry.clause,
        operands=tuple(operand for operand in entry.operands if holds(operand.since, operand.until, version)),
        params=tuple(param for param in entry.params if holds(param.since, param.until, version)),
        shape=entry.shape,
        rule=entry.rule,
        note=entry.note,
        in_place=entry.in_place,
        executes=entry.executes,
        never_accepted=entry.never_accepted,
    )


def _type(entry: TypeEntry) -> TypeDef:
    return TypeDef(
        number=entry.number,
        name=entry.name,
        block=entry.block,
        bytes=entry.bytes,
        kind=entry.kind,
        clause=entry.clause,
        doc=entry.doc,
        layout=entry.layout,
    )
