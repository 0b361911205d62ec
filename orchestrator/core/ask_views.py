"""What one may ask a service's endpoint through the daemon: part of `core.views`, on the same terms."""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Mapping
from typing import Annotated, Literal
from urllib.parse import unquote

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from orchestrator.core.views import Request

_DROPPED = {"authorization", "connection", "content-length", "host", "keep-alive", "proxy-authorization", "te"}
_DROPPED |= {"proxy-connection", "trailer", "transfer-encoding", "upgrade", "expect", "cookie"}
"""Headers that belong to a connection, or are the daemon's own word."""


def _own_path(path: str) -> str:
    """Below the endpoint, whatever is decoded on the way."""
    plain = path.partition("?")[0]
    for _ in range(3):
        if any(part in ("..", ".") for part in re.split(r"[/\\\\]", plain)):
            raise ValueError("must not hold `.` or `..`: it stays below the service's endpoint")
        plain = unquote(plain)
    return path


HeaderName = Annotated[str, Field(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,200}$")]
HeaderValue = Annotated[str, Field(pattern=r"^[\t\x20-\x7e]{0,8000}$")]


_BASE64 = r"^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$"


class AskRequest(Request):
    """One request to a service's endpoint. `body` as text, or `body_base64`."""

    model_config = ConfigDict(json_schema_extra={"not": {"required": ["body", "body_base64"]}})

    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] = "GET"
    path: Annotated[
        str, Field(pattern=r"^/[\x21\x22\x24-\x5b\x5d-\x7e]*$", max_length=8000), AfterValidator(_own_path)
    ] = "/"
    """Below the endpoint, with its query; as it is sent, so percent-encoded where need be."""
    headers: Annotated[Mapping[HeaderName, HeaderValue], Field(max_length=50)] = Field(default_factory=dict)
    """Those of the connection, and Authorization, are left out: a token of its own is sent."""
    body: str | None = None
    body_base64: Annotated[str, Field(pattern=_BASE64)] | None = None

    @model_validator(mode="after")
    def _one_body(self) -> AskRequest:
        if self.body is not None and self.body_base64 is not None:
            raise ValueError("body and body_base64 are given: leave one of them out")
        return self

    @property
    def data(self) -> bytes | None:
        if self.body_base64 is not None:
            return b64decode(self.body_base64)
        return None if self.body is None else self.body.encode()

    @property
    def sent(self) -> dict[str, str]:
        """The headers that are passed on."""
        return {name: value for name, value in self.headers.items() if name.lower() not in _DROPPED}
