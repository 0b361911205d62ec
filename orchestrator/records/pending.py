"""What was taken of the gateway's records and is not stored yet, in a file: a daemon that is killed leaves it behind.

Batches of records replace the file, which is not flushed to the disk: it has to outlive the daemon, not the
machine, whose gateway would be gone with it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.records.tally import Fresh


@dataclass(frozen=True, slots=True)
class Pending:
    """`settled`: what is being stored as number `generation`; `fresh`: what came since, and is stored as the next one
    with what comes until then. `marks`: worker to the last line that was taken of it."""

    generation: int = 0
    settled: Fresh = field(default_factory=dict)
    fresh: Fresh = field(default_factory=dict)
    marks: Mapping[str, str] = field(default_factory=dict)

    def after(self, stored: int) -> Fresh:
        """What is not stored, where the store has everything up to number `stored`."""
        if stored > self.generation:
            return {}
        kept = dict(self.settled) if self.generation > stored else {}
        for key, row in self.fresh.items():
            known = kept.get(key)
            kept[key] = row if known is None else [a + b for a, b in zip(known, row, strict=True)]
        return kept


def write(path: Path, pending: Pending) -> None:
    """Whole or not at all. What cannot be written is not: then a killed daemon's last seconds are not counted."""
    told = {
        "generation": pending.generation,
        "settled": _rows(pending.settled),
        "fresh": _rows(pending.fresh),
        "marks": dict(pending.marks),
    }
    draft = path.with_name(f".{path.name}.new")
    with suppress(OSError):
        draft.touch(mode=0o600)
        draft.write_text(json.dumps(told))
        draft.replace(path)


def read(path: Path) -> Pending | None:
    """None: there is none, or it is not readable."""
    try:
        told = json.loads(path.read_text())
        marks = {str(worker): str(mark) for worker, mark in told["marks"].items()}
        return Pending(int(told["generation"]), _fresh(told["settled"]), _fresh(told["fresh"]), marks)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def _rows(fresh: Fresh) -> list[list[object]]:
    return [[key[0], *(part.decode("latin-1") for part in key[1:]), *row] for key, row in fresh.items()]


def _fresh(rows: list[list[object]]) -> Fresh:
    found: Fresh = {}
    for day, service, token, status, *counts in rows:
        key = (int(str(day)), *(str(part).encode("latin-1") for part in (service, token, status)))
        found[key] = [int(str(count)) for count in counts]  # type: ignore[index]
        if len(found[key]) != 4:  # type: ignore[index]
            raise ValueError("not four counts")
    return found
