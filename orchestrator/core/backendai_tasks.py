"""Background tasks in the words of Backend.AI: a try's steps as the events of its `/events/background-task`. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Literal

from pydantic import AliasChoices, Field

from orchestrator.core.daemon_views import TryEvent
from orchestrator.core.views import Request, View

Kind = Literal["bgtask_updated", "bgtask_done", "bgtask_failed", "bgtask_cancelled", "server_close"]

STEPS: Mapping[tuple[str, str], tuple[str, int]] = {
    ("definition", "passed"): ("session_enqueued", 1),
    ("image", "info"): ("session_preparing", 1),
    ("image", "passed"): ("session_prepared", 2),
    ("create", "passed"): ("session_creating", 3),
    ("start", "passed"): ("session_started", 4),
    ("probe", "passed"): ("model_service_status_updated", 5),
    ("probe", "info"): ("model_service_status_updated", 4),
    ("cleanup", "started"): ("session_terminating", 5),
    ("cleanup", "passed"): ("session_terminated", 5),
}
"""Step and state to the event that the message names, and how far the whole is then."""
ALL = 5


class StartedTask(View):
    """`task_id`: ask `/events/background-task` for it."""

    task_id: str
    name: str


class TaskQuery(Request):
    task_id: str = Field(min_length=1, max_length=64, validation_alias=AliasChoices("task_id", "taskId"))
    """As `/services/_/try` answered it."""


class TaskEvent(View):
    """One server-sent event; its type is `bgtask_updated`, `_done`, `_failed`, `_cancelled`, at last `server_close`."""

    task_id: str
    message: str = ""
    """JSON: `event`, `session_id`, and our own `step`, `state`, `message`; of the last one plain words."""
    current_progress: int = 0
    total_progress: int = ALL


class Progress:
    """Makes of each step an event, and of the result the last one."""

    def __init__(self, task_id: str) -> None:
        self._task_id = task_id
        self._reached = 0

    def event(self, step: TryEvent) -> tuple[Kind, TaskEvent]:
        if step.step == "result":
            cancelled = step.detail.get("code") == "cancelled"
            failed: Kind = "bgtask_cancelled" if cancelled else "bgtask_failed"
            reached = ALL if step.state == "passed" else self._reached
            return "bgtask_done" if step.state == "passed" else failed, self._event(step.message, reached)
        name, reached = STEPS.get((step.step, step.state), (f"session_{step.step}", self._reached))
        self._reached = max(self._reached, reached)
        told = {"event": name, "session_id": self._task_id, "step": step.step, "state": step.state}
        if name == "model_service_status_updated":
            told["is_healthy"] = "healthy" if step.state == "passed" else "unhealthy"
        return "bgtask_updated", self._event(json.dumps({**told, "message": step.message}), self._reached)

    def _event(self, message: str, reached: int) -> TaskEvent:
        return TaskEvent(task_id=self._task_id, message=message, current_progress=reached)
