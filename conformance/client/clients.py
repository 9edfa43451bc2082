"""Clients by name: clients.toml beside this module, with the places of programs and of the model filled in."""

import sys
import tomllib
from importlib import resources
from pathlib import Path

import attrs
import cattrs
import trio

from conformance.client.model import write_model
from conformance.interop.current import current_llama
from conformance.testees import Known, command_of

__all__ = ["KnownClient", "filled_in", "known_clients"]

MODEL = "conformance-client.gguf"


@attrs.frozen(kw_only=True)
class KnownClient:
    """A client that can be started by name; `server`: the command of the right server behind the hostile one."""

    name: str
    spawn: str
    server: str
    doc: str


def known_clients() -> dict[str, KnownClient]:
    """Clients by name, in the order of the file."""
    text = (resources.files("conformance.client") / "clients.toml").read_text("utf-8")
    converter = cattrs.Converter(forbid_extra_keys=True)
    entries = converter.structure(tomllib.loads(text)["client"], tuple[KnownClient, ...])
    return {entry.name: entry for entry in entries}


async def filled_in(command: str, folder: Path) -> str:
    """A command line, in which only {endpoint} or {port} is left open; a model is written into `folder` if need be.

    Raises ProcessFailed when stock does not build, NotRun when this machine cannot run current llama.cpp.
    """
    if "{model}" in command:
        command = command.replace("{model}", await _model(folder, "{current}" in command))
    return await command_of(Known(name="", spawn=command.replace("{python}", sys.executable), proto="", doc=""))


async def _model(folder: Path, inside_current: bool) -> str:
    """Its path, as the client sees it: one in the Debian of current llama.cpp sees nothing outside of that."""
    if not inside_current:
        return str(await trio.to_thread.run_sync(write_model, folder / MODEL))
    root = await current_llama()
    (root / "models").mkdir(exist_ok=True)
    path = await trio.to_thread.run_sync(write_model, root / "models" / MODEL)
    return f"/{path.relative_to(root)}"
