"""What a load has found: figures, faults, and whether the testee stood it. Pure but for the printing.

Rules
- A figure is a fact with a name; a fault is a sentence. A testee stood the load when there is no fault.
- What could not be tried is a note, with the reason: nobody may take it for a pass.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

import attrs

__all__ = ["Findings"]

Figure = int | float | str


@attrs.define
class Findings:
    """Collects; `tell` also says at once what is collected later."""

    load: str
    testee: str
    sink: TextIO = attrs.field(factory=lambda: sys.stderr)
    figures: dict[str, Figure] = attrs.field(factory=dict)
    faults: list[str] = attrs.field(factory=list)
    notes: list[str] = attrs.field(factory=list)

    @property
    def stood(self) -> bool:
        """Whether nothing went wrong."""
        return not self.faults

    def tell(self, line: str) -> None:
        """Say how it goes."""
        print(f"{self.load}: {line}", file=self.sink, flush=True)

    def figure(self, **figures: Figure) -> None:
        """Keep figures under their names."""
        self.figures.update(figures)

    def fault(self, text: str) -> None:
        """Keep what went wrong; the same sentence stands once."""
        if text not in self.faults:
            self.faults.append(text)
            self.tell(f"FAULT: {text}")

    def note(self, text: str) -> None:
        """Keep what could not be tried, and why."""
        if text not in self.notes:
            self.notes.append(text)
            self.tell(f"note: {text}")

    def summary(self) -> str:
        """Everything for people, the verdict last."""
        width = max(map(len, self.figures), default=0)
        lines = [f"{self.load} on {self.testee}"]
        lines += [f"    {name.replace('_', ' '):<{width}}  {_shown(value)}" for name, value in self.figures.items()]
        lines += [f"    note: {note}" for note in self.notes]
        lines += [f"    FAULT: {fault}" for fault in self.faults]
        return "\n".join([*lines, f"    {'stood it' if self.stood else 'FAILED'}"])

    def write(self, file: Path) -> None:
        """The same as JSON."""
        file.write_text(json.dumps(self._as_json(), indent=2) + "\n", "utf-8")

    def _as_json(self) -> Mapping[str, object]:
        return {
            "load": self.load,
            "testee": self.testee,
            "stood": self.stood,
            "figures": self.figures,
            "notes": self.notes,
            "faults": self.faults,
        }


def _shown(value: Figure) -> str:
    return f"{value:,.2f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else value
