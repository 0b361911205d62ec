"""What an action gets and gives: shared by the action files, so that each needs nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from orchestrator.core.errors import OrchestratorError
from orchestrator.core.path_rules import path_fault
from orchestrator.core.ports import CommandResult, Sandbox


@dataclass(frozen=True, slots=True)
class Context:
    """`timeout` in seconds, for `Sandbox.run`; `temp_dir` is a folder inside the routing."""

    sandbox: Sandbox
    timeout: float
    temp_dir: str


@dataclass(frozen=True, slots=True)
class Result:
    """`values`: what the action's `ref` stands for, by what follows it in a key (core.templates.RESULTS).
    `detail`: what its event shows. `log`: text for the routing's log. `failed`: why this result fails the start."""

    values: Mapping[str, str] = field(default_factory=dict)
    detail: Mapping[str, object] = field(default_factory=dict)
    log: str = ""
    failed: ActionError | None = None


class ActionError(OrchestratorError):
    """An action found its work impossible or failed. `ran`: what ran, if something did."""

    code = "action_failed"

    def __init__(self, message: str, *, hint: str = "", ran: CommandResult | None = None) -> None:
        super().__init__(message, hint=hint)
        self.ran = ran


def checked_path(path: str, *, folder: bool = False) -> str:
    """`path`, unless it cannot be one: ActionError."""
    if fault := path_fault(path, folder=folder):
        raise ActionError(
            f"cannot use {path!r} as a path: {fault}", hint="give a path below /home/work or an absolute one"
        )
    return path


def file_bytes(body: tuple[str, ...] | str) -> bytes:
    """The file's content: each item of a list becomes one line, a string is written as it is."""
    text = body if isinstance(body, str) else "".join(f"{line}\n" for line in body)
    return text.encode("utf-8", "surrogatepass")
