"""The example of the README runs, and is as short as it says."""

import inspect

import pytest

from refimpl.tests.service.example_client import main
from refimpl.tests.service.harness import running


async def test_the_example_adds(capsys: pytest.CaptureFixture[str]) -> None:
    async with running() as node:
        await main(node.endpoint)
    assert capsys.readouterr().out == "[11. 22. 33. 44.]\n"


def test_the_example_is_short() -> None:
    assert len(inspect.getsource(main).splitlines()) < 20
