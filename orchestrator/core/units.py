"""Text to quantity: the one place that knows sizes, durations, counts, modes and switches. Used by `core.kinds`.

Every function takes the text as written and raises `Wrong`, whose message completes "<key>: …".
"""

from __future__ import annotations

import math
import re

MIB = 1 << 20
LEAST_MEMORY = 6 * MIB
"""Bytes; container engines start nothing with less."""
LONGEST = 1e9
"""Seconds; longer ones overflow timers."""

_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(?:([kmgtp])(?:i?b?)?|b)?", re.IGNORECASE)
_POWER = {"k": 1, "m": 2, "g": 3, "t": 4, "p": 5}
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(ms|s|sec|m|min|h|d)")
_SECONDS = {"ms": 0.001, "s": 1, "sec": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}
_SWITCH = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


class Wrong(ValueError):
    """A value breaks the rule of its key. The text is what is wrong, `hint` what would be right."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


def shown(text: str, limit: int = 40) -> str:
    """`text` as messages quote it: on one line, and not longer than `limit` characters."""
    plain = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text[: limit + 1])
    return f"`{plain}`" if len(text) <= limit else f"`{plain[:limit]}…`"


def parse_number(text: str | float) -> float:
    """A finite decimal number."""
    written = str(text).strip()
    if not _NUMBER.fullmatch(written):
        raise Wrong(f"{shown(written)} is not a number")
    if not math.isfinite(value := float(written)):
        raise Wrong(f"{shown(written)} is too large")
    return value


def parse_count(text: str | int, least: int = 0, most: int = (1 << 31) - 1) -> int:
    """A whole number from `least` to `most`."""
    written, right = str(text).strip(), f"a whole number from {least} to {most}"
    if not re.fullmatch(r"[+-]?[0-9]{1,20}", written):
        raise Wrong(f"{shown(written)} is not a whole number", right)
    if not least <= (value := int(written)) <= most:
        raise Wrong(f"{value} is out of range", right)
    return value


def parse_seconds(text: str | float, least: float = 0.0, *, above: bool = False) -> float:
    """A duration in seconds, at least (with `above`: more than) `least`."""
    written = str(text).strip()
    right = f"seconds, {'more than' if above else 'at least'} {least:g}"
    if unit := _DURATION.fullmatch(written):
        seconds = float(unit[1]) * _SECONDS[unit[2]]
        raise Wrong(f"{shown(written)} is not a plain number", f"durations are in seconds: {seconds:g}")
    try:
        value = parse_number(written)
    except Wrong as wrong:
        raise Wrong(str(wrong), right) from None
    if value < least or (above and value == least) or value > LONGEST:
        raise Wrong(f"{shown(written)} is out of range", right)
    return value


def parse_size(text: str | float) -> int:
    """Bytes of `512m`, `4g`, `1.5GiB` (powers of 1024) or a bare number of bytes. Zero and less are refused."""
    written, right = str(text).strip(), "a size such as 512m or 4g"
    match = _SIZE.fullmatch(written)
    if not match:
        raise Wrong(f"{shown(written)} is not a size", right)
    size = float(match[1]) * 1024 ** _POWER.get((match[2] or "").lower(), 0)
    if not 0 < size < 1 << 60:
        raise Wrong(f"{shown(written)} is out of range", right)
    if written.isdigit() and size < LEAST_MEMORY:
        raise Wrong(f"{written} is {written} bytes", f"give a unit: {written}{'g' if size <= 64 else 'm'}")
    return int(size)


def span_text(seconds: float) -> str:
    """A time in one unit, as people read it: 5s, 12m, 3h, 4d."""
    left = max(0, int(seconds))
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if left >= 2 * size or (unit != "m" and left >= size):
            return f"{left // size}{unit}"
    return f"{left}s"


def size_text(amount: float) -> str:
    """Bytes as people read them, in powers of 1024: 17 bytes, 1.5 KiB, 24.3 MiB, 512 MiB."""
    for unit, size in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if amount >= size:
            return f"{amount / size:.3g} {unit}" if amount < 99.5 * size else f"{amount / size:.0f} {unit}"
    return f"{amount:.0f} bytes"


def written_size(size: float) -> str:
    """`size` bytes as a definition says them, exactly: `4g`, `1536m`, bare bytes where no unit fits."""
    fitting = (u for u in reversed(_POWER) if size and size % 1024 ** _POWER[u] == 0)
    unit = next(fitting, "")
    return f"{size / 1024 ** _POWER.get(unit, 0):.15g}{unit}"


def parse_memory(text: str | float) -> int:
    """Bytes of main memory: a size of at least 6 MiB."""
    if (size := parse_size(text)) < LEAST_MEMORY:
        raise Wrong(f"{shown(str(text))} is less than any container can start with", "at least 6m, such as 512m or 4g")
    return size


def parse_cpu(text: str | float) -> float:
    """Cores, may be fractional; more than 0."""
    written = str(text).strip()
    if milli := re.fullmatch(r"([0-9]{1,9})m", written):
        raise Wrong(f"{shown(written)} is not a number of cores", f"write {int(milli[1]) / 1000:g}")
    if (value := parse_number(written)) <= 0 or value > 1e6:
        raise Wrong(f"{shown(written)} is out of range", "cores, more than 0, such as 0.5 or 4")
    return value


def parse_amount(text: str | float) -> float:
    """Amount of a declared slot: a number that is not negative, or a size with its unit."""
    written = str(text).strip()
    if written[-1:].isalpha() and _SIZE.fullmatch(written):
        return float(parse_size(written))
    if (value := parse_number(written)) < 0 or value > 1e18:
        raise Wrong(f"{shown(written)} is out of range", "a number that is not negative")
    return value


def parse_bounded(text: str | float, *, least: float, most: float) -> float:
    """A number from `least` to `most`."""
    written, right = str(text).strip(), f"a number from {least:g} to {most:g}"
    if percent := re.fullmatch(r"([0-9]{1,3}(?:\.[0-9]{1,6})?) ?%", written):
        raise Wrong(f"{shown(written)} is not a plain number", f"write {float(percent[1]) / 100:g}")
    if not least <= (value := parse_number(written)) <= most:
        raise Wrong(f"{shown(written)} is out of range", right)
    return value


def parse_share(text: str | int) -> int | str:
    """A count of routings (`2`), or a percentage of the desired count (`25%`) as it is written."""
    written = str(text).strip()
    if re.fullmatch(r"(100|[0-9]{1,2})%", written):
        return f"{int(written[:-1])}%"
    if re.fullmatch(r"[0-9]{1,5}", written) and int(written) <= 10_000:
        return int(written)
    raise Wrong(f"{shown(written)} is neither a count nor a percentage", "such as 1 or 25%")


def parse_mode(text: str | int) -> int:
    """Permission bits of octal digits: `644`, `0644` and `0o644` are all rw-r--r--."""
    digits = str(text).strip().lower().removeprefix("0o")
    if not re.fullmatch(r"0*[0-7]{1,4}", digits):
        raise Wrong(f"{shown(str(text))} is not a file mode", "octal digits such as 644 or 755")
    return int(digits, 8)


def parse_switch(text: str) -> bool:
    """true, false, yes, no, on, off in any case."""
    try:
        return _SWITCH[text.strip().lower()]
    except KeyError:
        raise Wrong(f"{shown(text)} is neither true nor false", "true or false") from None
