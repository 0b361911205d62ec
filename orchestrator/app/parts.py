"""What the daemon is made of: put together by `app.daemon`, used by everything that answers for it."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.api.metrics import Metrics
from orchestrator.app.certificates import Certificates
from orchestrator.app.logs import Logs
from orchestrator.app.trying import BackgroundTries
from orchestrator.auth import KeyRing
from orchestrator.core.ports import Clock, Gateway, Runtime, RuntimeInfo
from orchestrator.executor import Pulls
from orchestrator.records import Recorder
from orchestrator.records.traces import Traces
from orchestrator.scheduler.accounting import Accounting
from orchestrator.scheduler.journal import Journal
from orchestrator.scheduler.loop import Loop
from orchestrator.scheduler.reader import FolderReader
from orchestrator.scheduler.sampler import Sampler
from orchestrator.scheduler.tokens import Tokens
from orchestrator.settings import Settings
from orchestrator.store import Store


@dataclass(frozen=True, slots=True)
class Parts:
    """One of each."""

    settings: Settings
    certificates: Certificates
    store: Store
    runtime: Runtime
    info: RuntimeInfo
    runtime_reason: str
    gateway: Gateway
    gateway_url: str
    keys: KeyRing
    clock: Clock
    journal: Journal
    reader: FolderReader
    loop: Loop
    pulls: Pulls
    tokens: Tokens
    trying: BackgroundTries
    logs: Logs
    metrics: Metrics
    recorder: Recorder
    accounting: Accounting
    sampler: Sampler
    traces: Traces | None
    started_at: float
