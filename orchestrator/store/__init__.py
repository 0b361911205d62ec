"""What was told and what was tried, kept over restarts. Nothing observed, derived or secret is stored."""

from orchestrator.store.lock import StateLock
from orchestrator.store.records import Outcome, Revision, Snapshot, Texts
from orchestrator.store.store import Store

__all__ = ["Outcome", "Revision", "Snapshot", "StateLock", "Store", "Texts"]
