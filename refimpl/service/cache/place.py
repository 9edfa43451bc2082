"""Where kept tensors lie: one file each, named after the FNV-1a-64 of its bytes in 16 hexadecimal digits.

The folder is stock llama.cpp's: $LLAMA_CACHE, else the platform's cache folder of llama.cpp, in it `rpc/`. With
Scope.ALL the files lie in it as stock's do, so that a cache of either is the other's. With Scope.PEER each address has
a folder of its own in there, `peer-192.0.2.7/` or `peer-2001-db8--1/`, and what lies beside them is left alone.
"""

import re
import sys
from collections.abc import Iterator, Mapping
from enum import Enum
from pathlib import Path
from secrets import token_hex

from refimpl.service.bounds.admission import canonical

__all__ = ["Scope", "default_folder", "draft_of", "folder_of", "folders", "is_draft", "is_kept"]

PREFIX = "peer-"
KEPT = re.compile(r"[0-9a-f]{16}")
DRAFT = re.compile(r"\.[0-9a-f]{16}\.[0-9a-f]{16}")
POCKET = re.compile(rf"{PREFIX}[0-9a-f.-]+")


class Scope(Enum):
    """Who may be given what a peer has sent."""

    PEER = "peer"
    """whoever comes from the same address"""
    ALL = "all"
    """everybody"""


def default_folder(environment: Mapping[str, str], platform: str = sys.platform) -> Path:
    """Where stock llama.cpp keeps its tensor cache on `platform`, given the environment's variables."""
    if root := environment.get("LLAMA_CACHE"):
        return Path(root) / "rpc"
    home = Path(environment.get("HOME") or Path.home())
    if platform == "win32":
        root_folder = Path(environment.get("LOCALAPPDATA") or home)
    elif platform == "darwin":
        root_folder = home / "Library" / "Caches"
    else:
        root_folder = Path(environment.get("XDG_CACHE_HOME") or home / ".cache")
    return root_folder / "llama.cpp" / "rpc"


def folder_of(folder: Path, scope: Scope, host: str) -> Path:
    """The folder of a peer's tensors."""
    return folder if scope is Scope.ALL else folder / f"{PREFIX}{canonical(host)}".replace(":", "-")


def folders(folder: Path, scope: Scope) -> Iterator[Path]:
    """All folders of tensors that there are. Raises OSError if they cannot be listed."""
    if scope is Scope.ALL:
        yield folder
    else:
        yield from (entry for entry in folder.iterdir() if POCKET.fullmatch(entry.name) and entry.is_dir())


def is_kept(name: str) -> bool:
    """Whether that is the name of a kept tensor."""
    return KEPT.fullmatch(name) is not None


def is_draft(name: str) -> bool:
    """Whether that is the name of one that is being written."""
    return DRAFT.fullmatch(name) is not None


def draft_of(path: Path) -> Path:
    """A new name beside a tensor's, under which it is written."""
    return path.with_name(f".{path.name}.{token_hex(8)}")
