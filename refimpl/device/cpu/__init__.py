"""The CPU as a device: memory mappings, a pool of threads, compiled kernels."""

from refimpl.device.cpu.device import CpuDevice

__all__ = ["CpuDevice"]
