"""Errors that users meet. Third-party errors are translated into these once, at the adapter.

Texts read `cannot X: Y`; `hint` names the fix.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.core.problems import Problem


class OrchestratorError(Exception):
    """Base of all errors shown to users. `code` is stable (scripts and `explain` rely on it)."""

    code = "error"

    def __init__(self, message: str, *, hint: str = "", code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        if code is not None:
            self.code = code


@dataclass(frozen=True, slots=True)
class Fault:
    """One part of a request that is wrong. `field`: its path with dots; empty: the request as a whole."""

    field: str
    message: str


class InvalidInput(OrchestratorError):
    """What the user gave is wrong; trying again unchanged is useless. Exit 2, HTTP 400. `faults`: where, if known."""

    code = "invalid_input"

    def __init__(self, message: str, *, hint: str = "", code: str | None = None, faults: Sequence[Fault] = ()) -> None:
        super().__init__(message, hint=hint, code=code)
        self.faults = tuple(faults)


class InvalidDefinition(InvalidInput):
    """A definition that was to be written does not validate; nothing was. `problems`: all of them. HTTP 422."""

    code = "definition_invalid"

    def __init__(
        self, message: str, *, hint: str = "", code: str | None = None, problems: Sequence[Problem] = ()
    ) -> None:
        super().__init__(message, hint=hint, code=code)
        self.problems = tuple(problems)


class NotFound(OrchestratorError):
    code = "not_found"


class Conflict(OrchestratorError):
    """Something else holds what was asked for; the message names the holder. HTTP 409."""

    code = "conflict"


class NotAuthorised(OrchestratorError):
    """Exit 7, HTTP 401."""

    code = "not_authorised"


class Throttled(OrchestratorError):
    """Too many failed tries came from this address. `retry_after`: seconds to wait. Exit 7, HTTP 429."""

    code = "too_many_tries"

    def __init__(self, message: str, *, hint: str = "", code: str | None = None, retry_after: float = 1.0) -> None:
        super().__init__(message, hint=hint, code=code)
        self.retry_after = retry_after


class Unavailable(OrchestratorError):
    """A dependency (engine, gateway, disk, daemon) does not answer now; trying later may work. HTTP 503."""

    code = "unavailable"


class RuntimeFailure(OrchestratorError):
    """The container engine answered, and refused. `code` says what: image_missing, image_denied, name_taken,
    mount_refused, exec_format, command_not_found, permission, no_shell, port_taken, start_failed …"""

    code = "runtime_failure"
