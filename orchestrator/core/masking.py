"""Hides the values of secrets in everything that is shown, logged or stored. The last step before a text leaves."""

from __future__ import annotations

from collections.abc import Collection, Iterator

MASK = "***"
SHORTEST = 4
"""Characters; shorter values would mask half of every log."""
SHORTEST_LINE = 8
"""Characters; a line of a secret with several lines is hidden alone, too, because logs come line by line."""


def mask(text: str, secrets: Collection[str]) -> str:
    """`text` with each occurrence of a secret replaced by `***`; overlapping ones become one."""
    spans = sorted(span for value in _values(secrets) for span in _occurrences(text, value))
    parts, done = [], 0
    for start, end in spans:
        if start >= done:
            parts += [text[done:start], MASK]
        done = max(done, end)
    return "".join(parts) + text[done:]


def _values(secrets: Collection[str]) -> set[str]:
    """What to look for: the values without the white space that files end in, and the lines of long ones."""
    whole = {stripped for value in secrets if len(stripped := value.strip()) >= SHORTEST}
    lines = {line.strip() for value in whole if "\n" in value for line in value.splitlines()}
    return whole | {line for line in lines if len(line) >= SHORTEST_LINE}


def _occurrences(text: str, value: str) -> Iterator[tuple[int, int]]:
    start = text.find(value)
    while start >= 0:
        yield start, start + len(value)
        start = text.find(value, start + 1)
