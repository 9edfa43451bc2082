"""Testees by name: testees.toml beside this module, with the places of programs filled in."""

import sys
import tomllib
from importlib import resources
from pathlib import Path

import attrs
import cattrs

from conformance.interop.current import current_llama
from conformance.interop.stock import stock_programs

__all__ = ["Known", "command_of", "known"]


@attrs.frozen(kw_only=True)
class Known:
    """A testee that can be started by name."""

    name: str
    spawn: str
    proto: str
    doc: str


def known() -> dict[str, Known]:
    """Testees by name, in the order of the file."""
    text = (resources.files("conformance") / "testees.toml").read_text("utf-8")
    converter = cattrs.Converter(forbid_extra_keys=True)
    entries = converter.structure(tomllib.loads(text)["testee"], tuple[Known, ...])
    return {entry.name: entry for entry in entries}


async def command_of(testee: Known) -> str:
    """The command line, in which only {port} is left open.

    Raises ProcessFailed when stock does not build, NotRun when this machine cannot run current llama.cpp.
    """
    command = testee.spawn.replace("{scripts}", str(Path(sys.executable).parent))
    if "{stock}" in command:
        command = command.replace("{stock}", str(await stock_programs()))
    if "{current}" in command:
        command = command.replace("{current}", str(await current_llama()))
    return command
