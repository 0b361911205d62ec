"""Pre-start actions: what prepares a routing before its start command. They act on a Sandbox and know no engine."""

from orchestrator.actions.engine import ActionEvent, ActionFailed, run_actions

__all__ = ["ActionEvent", "ActionFailed", "run_actions"]
