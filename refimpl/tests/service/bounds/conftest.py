"""Time that passes by itself while nobody has anything to do."""

import pytest
from trio.testing import MockClock

PAUSE = 0.02
"""real seconds in which nothing happens before time jumps: what one socket has written, the other has by then"""


@pytest.fixture
def clock() -> MockClock:
    return MockClock(autojump_threshold=PAUSE)
