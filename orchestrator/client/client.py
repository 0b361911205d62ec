"""The API, one method a route: typed answers, and problems turned back into the errors that they were."""

from __future__ import annotations

from orchestrator.client.calls.daemon import DaemonCalls
from orchestrator.client.calls.models import ModelCalls
from orchestrator.client.calls.revisions import RevisionCalls
from orchestrator.client.calls.routings import RoutingCalls
from orchestrator.client.calls.services import ServiceCalls
from orchestrator.client.calls.tokens import TokenCalls
from orchestrator.client.calls.traffic import TrafficCalls
from orchestrator.client.calls.tries import TryCalls


class Client(
    DaemonCalls,
    ServiceCalls,
    RevisionCalls,
    RoutingCalls,
    TrafficCalls,
    TokenCalls,
    TryCalls,
    ModelCalls,
):
    """All calls on one connection: `async with Client(url, token) as client`. Every method raises errors of
    `core.errors`."""
