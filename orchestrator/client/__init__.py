"""The SDK: how programs (and the CLI, which uses nothing else) reach the daemon."""

from orchestrator.client.client import Client
from orchestrator.client.config import Daemon, find_daemon

__all__ = ["Client", "Daemon", "find_daemon"]
