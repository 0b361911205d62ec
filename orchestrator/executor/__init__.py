"""Carries out operations and reports outcomes; decides nothing."""

from orchestrator.executor.apply import Executor
from orchestrator.executor.launch import Launcher
from orchestrator.executor.outcomes import Created, Ended, Outcome, Recorded, Started, StartFailed

__all__ = ["Created", "Ended", "Executor", "Launcher", "Outcome", "Recorded", "StartFailed", "Started"]
