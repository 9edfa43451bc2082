"""What the README shows is what there is."""

import inspect
import re
import textwrap

from refimpl.tests.project.tree import ROOT
from refimpl.tests.service import example_client

README = (ROOT / "README.md").read_text("utf-8")
PATH = re.compile(r"`((?:spec|refimpl|conformance|tui)/[\w/.]*)`")


def test_the_client_example_is_the_tested_one() -> None:
    assert textwrap.indent(inspect.getsource(example_client.main), "    ") in README


def test_every_path_it_names_exists() -> None:
    missing = [path for path in PATH.findall(README) if not (ROOT / path).exists()]
    assert not missing
