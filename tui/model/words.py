"""Numbers as short text, for cells of a table. Pure. A dash stands for what is not known."""

from tui.model.events import Memory, Version

__all__ = ["UNKNOWN", "age", "bar", "device_line", "gib", "memory", "milliseconds", "version"]

UNKNOWN = "-"
GIB = 1 << 30
MINUTE = 60
HOUR = 3600
DAY = 24 * HOUR
EIGHTHS = " ▏▎▍▌▋▊▉"
FULL = "█"
EMPTY = "·"


def version(value: Version | None) -> str:
    """``8.0.0``"""
    return UNKNOWN if value is None else ".".join(map(str, value))


def gib(size: int) -> str:
    """Bytes in GiB, at most four digits while below 10,000 GiB."""
    value = size / GIB
    return f"{value:.1f}" if value < 99.95 else f"{value:.0f}"


def memory(free: int, total: int) -> str:
    """Free and total in GiB: ``12.3/15.6G``."""
    return f"{gib(free)}/{gib(total)}G" if total else UNKNOWN


def device_line(index: int, device: Memory) -> str:
    """One device in words."""
    if not device.total:
        return f"device {index}: does not say how much memory it has"
    used = (device.total - device.free) / device.total
    return f"device {index}: {gib(device.free)} of {gib(device.total)} GiB free, {used:.0%} in use"


def milliseconds(seconds: float | None) -> str:
    """Seconds as milliseconds, three significant digits or so: ``0.12``, ``3.4``, ``250``."""
    if seconds is None:
        return UNKNOWN
    value = seconds * 1e3
    return f"{value:.2f}" if value < 0.995 else f"{value:.1f}" if value < 99.95 else f"{value:.0f}"


def age(seconds: float | None) -> str:
    """At most four characters: ``0s``, ``59s``, ``3m``, ``7h``, ``12d``."""
    if seconds is None:
        return UNKNOWN
    for unit, name in ((DAY, "d"), (HOUR, "h"), (MINUTE, "m")):
        if seconds >= unit:
            return f"{int(seconds // unit)}{name}"
    return f"{int(seconds)}s"


def bar(used: int, total: int, width: int) -> str:
    """`used` of `total` as `width` characters; empty where `total` is 0. Not quite full never looks full."""
    if not total:
        return " " * width
    eighths = used * width * 8 // total
    full, part = divmod(eighths, 8)
    drawn = FULL * full + (EIGHTHS[part] if part else "")
    return drawn + EMPTY * (width - len(drawn))
