"""What the control API answers about who asks, who changed what, and the settings: part of `core.views`, on the same
terms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import AwareDatetime, Field

from orchestrator.core.access import Access
from orchestrator.core.views import View


class WhoamiView(View):
    """Whose token was sent and what it opens. `token_id` empty: it is the admin token; `expires_at` null: it never
    does."""

    access: Access
    name: str = ""
    token_id: str = ""
    expires_at: AwareDatetime | None = None


class AuditView(View):
    """One change that was asked for through the API. `status` 0: it is under way, or the daemon ended meanwhile."""

    seq: int
    time: AwareDatetime
    who: str = ""
    """Name of the token, else its id; empty: none that is valid was sent."""
    token_id: str = ""
    access: Access = "public"
    """What the token opens."""
    action: str
    """What the route does, in words."""
    method: str
    path: str
    service: str = ""
    status: int = 0
    before: Mapping[str, Any] | None = None
    """What was otherwise before it, as far as the API shows that: key with dots to value."""
    after: Mapping[str, Any] | None = None
    """The same keys after it; of something new all of it."""
    request: Any = None
    """The body, with secrets hidden and long texts cut."""
    client: str = ""
    """Address that it came from."""
    request_id: str = ""


class SettingView(View):
    """One key of config.toml. Secrets are hidden."""

    key: str
    value: Any = None
    default: Any = None
    set: str
    """Where its value comes from: file and line, a variable's name, or `default`."""


class ConfigView(View):
    """The settings that the daemon runs with. `file` empty: it was started without one."""

    file: str = ""
    keys: tuple[SettingView, ...] = Field(default=())
