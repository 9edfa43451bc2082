"""Several calls at once, and their first failure as it is, not wrapped in a group."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import trio

from refimpl.errors import RefimplError

__all__ = ["gather"]

T = TypeVar("T")


async def gather(calls: Sequence[Callable[[], Awaitable[T]]]) -> list[T]:
    """Results in the order of the calls. The first RefimplError cancels the others and is raised."""
    results: dict[int, T] = {}
    failures: list[RefimplError] = []

    async def one(index: int, call: Callable[[], Awaitable[T]]) -> None:
        try:
            results[index] = await call()
        except RefimplError as error:
            failures.append(error)
            nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        for index, call in enumerate(calls):
            nursery.start_soon(one, index, call)
    if failures:
        raise failures[0]
    return [results[index] for index in range(len(calls))]
