"""The bar of an upload: what travels, and next to it what nodes had already."""

import io

import pytest

from refimpl.host.outlet import Outlet


def shown(total: int, *steps: tuple[int, int]) -> str:
    notes = io.StringIO()
    with Outlet(io.BytesIO(), notes).progress(total) as advance:
        for sent, known in steps:
            advance(sent, known)
    return notes.getvalue()


@pytest.mark.parametrize(
    ("steps", "parts"),
    [
        (((40_000_000, 0), (60_000_000, 0)), ["uploading", "100.0/100.0 MB"]),
        (((0, 30_000_000), (50_000_000, 0), (0, 20_000_000)), ["50.0/50.0 MB", "50.0 MB (50 %) cached"]),
        (((0, 100_000_000),), ["0/0 bytes", "100.0 MB (100 %) cached"]),
    ],
)
def test_the_bar_is_about_what_travels_and_names_the_cached_share(
    steps: tuple[tuple[int, int], ...], parts: list[str]
) -> None:
    text = shown(100_000_000, *steps)
    assert [part for part in parts if part not in text] == []
    assert ("cached" in text) == any(known for _, known in steps)


def test_nothing_to_upload_draws_nothing() -> None:
    assert shown(0) == ""
