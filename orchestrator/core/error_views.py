"""Errors on the wire: problem documents, to and from the classes of `core.errors`. Part of `core.views`."""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.core.errors import (
    Conflict,
    Fault,
    InvalidInput,
    NotAuthorised,
    NotFound,
    OrchestratorError,
    RuntimeFailure,
    Unavailable,
)
from orchestrator.core.views import View

HTTP_STATUS: Mapping[int, type[OrchestratorError]] = {
    400: InvalidInput,
    401: NotAuthorised,
    403: NotAuthorised,
    404: NotFound,
    405: InvalidInput,
    409: Conflict,
    413: InvalidInput,
    502: RuntimeFailure,
    503: Unavailable,
}
"""An error's class to and from the wire; the first status of a class is the one that is sent."""


class FaultView(View):
    """One part of a request that is wrong."""

    field: str
    """Path of the key in the body, or of the query parameter, with dots; empty: the request as a whole."""
    message: str


class ErrorView(View):
    """RFC 9457 problem (`application/problem+json`). `code` is stable; `hint` names the fix."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    code: str
    hint: str = ""
    errors: tuple[FaultView, ...] = ()
    """Of a request that is refused for what it says: each field that is wrong, at most 20."""

    @classmethod
    def of(cls, error: OrchestratorError, *, status: int = 0) -> ErrorView:
        """`status` 0: by the error's class; 403 where its code is `forbidden`."""
        if not status:
            status = next((s for s, kind in HTTP_STATUS.items() if isinstance(error, kind)), 500)
            status = 403 if error.code == "forbidden" else status
        title = type(error).__name__
        faults = error.faults if isinstance(error, InvalidInput) else ()
        errors = tuple(FaultView(field=fault.field, message=fault.message) for fault in faults)
        return cls(title=title, status=status, detail=error.message, code=error.code, hint=error.hint, errors=errors)

    def error(self) -> OrchestratorError:
        if HTTP_STATUS.get(self.status) is InvalidInput:
            faults = [Fault(one.field, one.message) for one in self.errors]
            return InvalidInput(self.detail, hint=self.hint, code=self.code, faults=faults)
        return HTTP_STATUS.get(self.status, OrchestratorError)(self.detail, hint=self.hint, code=self.code)
