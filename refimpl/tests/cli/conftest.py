"""Programs are started here with little patience: what they would compile first is compiled before."""

import pytest

from refimpl.device.cpu import CpuDevice


@pytest.fixture(scope="session", autouse=True)
def _compiled_kernels() -> None:
    CpuDevice(threads=1).close()
