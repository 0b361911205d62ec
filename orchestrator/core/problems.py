"""Problems of a definition or a configuration file, each with its place. Shown by `validate`, API and page alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning", "note"]


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong in `file` at 1-based `line`:`column` (0:0 where no place is known).

    `path` is the key's path (`models[0].service.port`), `message` what is wrong, `hint` what would be right.
    """

    severity: Severity
    file: str
    line: int
    column: int
    path: str
    message: str
    hint: str = ""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        where = f" {self.path}:" if self.path else ""
        right = f" ({self.hint})" if self.hint else ""
        return f"{place}: {self.severity}:{where} {self.message}{right}"


def is_valid(problems: tuple[Problem, ...], *, strict: bool = False) -> bool:
    """Only errors make a definition invalid; with `strict` warnings do too. Notes never do."""
    bad = {"error", "warning"} if strict else {"error"}
    return not any(p.severity in bad for p in problems)
