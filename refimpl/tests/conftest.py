"""What all tests share: Hypothesis draws the same examples in every run, and what lies in state/ is marked so."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

STATE = Path(__file__).parent / "state"

settings.register_profile(
    "repeatable",
    derandomize=True,
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("repeatable")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests below state/: `nox -s tests` leaves them to `nox -s state`."""
    for item in items:
        if STATE in item.path.parents:
            item.add_marker(pytest.mark.state)
