"""Carries out operations and reports outcomes; decides nothing."""

from orchestrator.executor.apply import Executor
from orchestrator.executor.launch import Launch, Launcher
from orchestrator.executor.outcomes import Created, Ended, Fetched, Outcome, Recorded, Started, StartFailed
from orchestrator.executor.pulls import Pulls

__all__ = [
    "Created",
    "Ended",
    "Executor",
    "Fetched",
    "Launch",
    "Launcher",
    "Outcome",
    "Pulls",
    "Recorded",
    "StartFailed",
    "Started",
]
