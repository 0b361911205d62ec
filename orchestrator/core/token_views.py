"""What the control API answers and is asked about tokens and keys: part of `core.views`, on the same terms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

from pydantic import AwareDatetime, Field, model_validator

from orchestrator.core.views import Request, View

Scope: TypeAlias = Literal["infer", "read", "admin"]


class TokenRequest(Request):
    """`service`: a name, or `*` for all; `expires`: a duration (`3600s`, `15m`, `2h`, `3d`, `1w`, `2mo`, `1yr`), a date
    or a time; None: 30 days. `infer` opens services at the gateway; `read` and `admin` open the API, for which
    `service` is `*` (`admin` opens all services too)."""

    service: str = Field(min_length=1)
    name: str = Field("", max_length=256)
    expires: str | None = None
    scope: Scope = "infer"

    @model_validator(mode="after")
    def _check_scope(self) -> TokenRequest:
        if self.scope != "infer" and self.service != "*":
            raise ValueError(f"a token with scope {self.scope} is for the API, not for one service: service must be *")
        return self


class TokenView(View):
    """`token` is set in the answer to its creation only."""

    id: str
    token: str | None = None
    service: str
    name: str = ""
    expires_at: AwareDatetime | None = None
    scope: Scope = "infer"
    issued_at: AwareDatetime | None = None
    kid: str = ""
    revoked_at: AwareDatetime | None = None
    last_used_at: AwareDatetime | None = None


class InspectRequest(Request):
    token: str = Field(min_length=1, max_length=16384)


class TokenCheck(View):
    """What a token's text says and whether the gateway would take it now; `reason` is why not."""

    valid: bool
    reason: str = ""
    header: Mapping[str, Any] = Field(default_factory=dict)
    claims: Mapping[str, Any] = Field(default_factory=dict)
    token: TokenView | None = None
    """As it is remembered; None: it is not known here."""


class KeyView(View):
    """One signing key: never its secret."""

    kid: str
    created_at: AwareDatetime | None = None
    signs: bool = False
    """New tokens are signed with it."""
