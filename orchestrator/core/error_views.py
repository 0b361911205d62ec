"""Errors on the wire: problem documents, to and from the classes of `core.errors`. Part of `core.views`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from orchestrator.core.errors import (
    Conflict,
    Fault,
    InvalidDefinition,
    InvalidInput,
    NotAuthorised,
    NotFound,
    OrchestratorError,
    RuntimeFailure,
    Throttled,
    Unavailable,
)
from orchestrator.core.views import ProblemView, View

Body = TypeVar("Body", bound=BaseModel)

HTTP_STATUS: Mapping[int, type[OrchestratorError]] = {
    422: InvalidDefinition,
    400: InvalidInput,
    401: NotAuthorised,
    403: NotAuthorised,
    404: NotFound,
    405: InvalidInput,
    408: InvalidInput,
    409: Conflict,
    413: InvalidInput,
    416: InvalidInput,
    429: Throttled,
    502: RuntimeFailure,
    503: Unavailable,
    507: Unavailable,
}
"""An error's class to and from the wire; the first status of a class is the one that is sent."""
STATUS_OF_CODE: Mapping[str, int] = {"forbidden": 403, "too_large": 413, "no_such_range": 416, "disk_full": 507}
"""Errors whose status says more than their class."""


def first_fault(error: ValidationError) -> Fault:
    """What is wrong first with values that a model refuses."""
    first = error.errors(include_url=False)[0]
    return Fault(".".join(str(part) for part in first["loc"]), first["msg"].removeprefix("Value error, "))


def checked(model: type[Body], values: Mapping[str, Any]) -> Body:
    """A request from what somebody gave. Raises `InvalidInput` naming what is wrong first."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        wrong = first_fault(error)
        place = f"cannot use {wrong.field}" if wrong.field else "cannot ask for this"
        raise InvalidInput(f"{place}: {wrong.message}", faults=[wrong]) from None


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
    problems: tuple[ProblemView, ...] = ()
    """Of a definition that is refused: all that is wrong with it, each in its place."""

    @classmethod
    def of(cls, error: OrchestratorError, *, status: int = 0) -> ErrorView:
        """`status` 0: by the error's code or class."""
        if not status:
            status = next((s for s, kind in HTTP_STATUS.items() if isinstance(error, kind)), 500)
            special = STATUS_OF_CODE.get(error.code, status)
            status = special if isinstance(error, HTTP_STATUS.get(special, OrchestratorError)) else status
        title = type(error).__name__
        faults = error.faults if isinstance(error, InvalidInput) else ()
        errors = tuple(FaultView(field=fault.field, message=fault.message) for fault in faults)
        wrong = error.problems if isinstance(error, InvalidDefinition) else ()
        return cls(
            title=title,
            status=status,
            detail=error.message,
            code=error.code,
            hint=error.hint,
            errors=errors,
            problems=tuple(ProblemView(**asdict(problem)) for problem in wrong),
        )

    def error(self) -> OrchestratorError:
        if HTTP_STATUS.get(self.status) is InvalidDefinition:
            wrong = [one.problem() for one in self.problems]
            return InvalidDefinition(self.detail, hint=self.hint, code=self.code, problems=wrong)
        if HTTP_STATUS.get(self.status) is InvalidInput:
            faults = [Fault(one.field, one.message) for one in self.errors]
            return InvalidInput(self.detail, hint=self.hint, code=self.code, faults=faults)
        return HTTP_STATUS.get(self.status, OrchestratorError)(self.detail, hint=self.hint, code=self.code)
