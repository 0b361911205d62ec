"""A whole daemon and who may ask it: tokens of its API from their creation to their end, and what is written down."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest
from harness import Daemon, echo, until

from orchestrator.client import Client
from orchestrator.core.errors import NotAuthorised, OrchestratorError

Daemons = Callable[..., Awaitable[Daemon]]


async def refused(daemon: Daemon, text: str, *, change: bool = False) -> str:
    """Code of the error that a token gets; empty: it is taken."""
    async with Client(daemon.url, text) as client:
        try:
            await (client.retry("echo") if change else client.services())
        except OrchestratorError as error:
            return error.code
    return ""


async def test_tokens_of_the_api_from_their_creation_to_their_end(daemons: Daemons) -> None:
    daemon = await daemons()
    daemon.drop("echo", echo())
    await daemon.settled("echo")

    async def made(scope: str, service: str = "*", **more: Any) -> tuple[str, str]:
        token = await daemon.token(service, scope=scope, name=f"of {scope}", **more)
        assert token.token is not None
        return token.id, token.token

    async def ask(text: str) -> int:
        return (await daemon.ask("echo", header={"Authorization": f"Bearer {text}"}))[0]

    (reader_id, reader), (_, writer), (_, caller) = await made("read"), await made("admin"), await made("infer", "echo")
    assert [await refused(daemon, text) for text in (reader, writer, caller)] == ["", "", "forbidden"]
    assert [await refused(daemon, text, change=True) for text in (reader, writer)] == ["forbidden", ""]
    assert [await ask(text) for text in (reader, writer, caller)] == [403, 200, 200]
    code, _, err = await daemon.cli("token", "create", "echo", "--scope", "read")
    assert (code, "service must be *" in err) == (2, True)

    async with Client(daemon.url, reader) as client:
        told = await client.whoami()
        assert (told.access, told.name, told.token_id) == ("read", "of read", reader_id)
        assert await client.metrics()
        for closed in (client.audit, client.config):
            with pytest.raises(NotAuthorised):
                await closed()
    listed = {token.id: token for token in await daemon.client.tokens()}
    assert listed[reader_id].last_used_at is not None

    brief_id, brief = await made("read", expires="2s")
    assert await refused(daemon, brief) == ""
    await until(lambda: refused(daemon, brief), every=0.2)
    assert await refused(daemon, brief) == "token_expired"

    await daemon.restart()
    assert await refused(daemon, reader) == ""
    await daemon.client.token_revoke(reader_id)
    assert await refused(daemon, reader) == "token_revoked"
    await daemon.restart()
    assert await refused(daemon, reader) == "token_revoked", "it is the store that knows"
    old = (await daemon.client.keys())[0].kid
    await daemon.client.rotate_key()
    assert await refused(daemon, writer) == ""
    await daemon.client.drop_key(old)
    assert await refused(daemon, writer) == "token_invalid"
    forged = ".".join(reader.split(".")[:2]) + "."
    assert await refused(daemon, forged) == "token_invalid"

    entries = await daemon.client.audit(limit=100)
    seen = [(entry.who, entry.method, entry.path, entry.status) for entry in entries]
    assert ("of read", "POST", "/v1/services/echo/retry", 403) in seen
    assert ("of admin", "POST", "/v1/services/echo/retry", 200) in seen
    assert ("admin.token", "DELETE", f"/v1/tokens/{reader_id}", 200) in seen
    kept = json.dumps([entry.model_dump(mode="json") for entry in entries])
    for text in (reader, writer, caller, daemon.admin_token, brief):
        assert text not in kept
        assert text not in daemon.log.read_text()
    assert [entry.seq for entry in entries] == sorted(entry.seq for entry in entries)
    assert brief_id in kept


async def test_an_audit_entry_says_what_was_before_and_after(daemons: Daemons) -> None:
    daemon = await daemons(environ={"ORCHESTRATOR_API__CORS_ORIGINS": "https://page.example"})
    daemon.drop("echo", echo())
    await daemon.settled("echo")
    await daemon.client.scale("echo", 2)
    entry = (await daemon.client.audit(service="ECHO"))[-1]
    assert entry.before is not None
    assert entry.after is not None
    assert (entry.before["desired_routing_count"], entry.after["desired_routing_count"]) == (1, 2)
    assert entry.client == "127.0.0.1"
    answered = [line for line in daemon.logged() if line.get("event") == "api.answered"]
    assert entry.request_id in [line["request_id"] for line in answered]

    code, out, _ = await daemon.cli("audit", "--service", "echo")
    assert code == 0
    assert "desired_routing_count: 1 → 2" in out
    code, out, _ = await daemon.cli("config", "-o", "json")
    keys = {key["key"]: key for key in json.loads(out)["keys"]}
    assert keys["api.cors_origins"]["value"] == ["https://page.example"]
    assert keys["api.cors_origins"]["set"] == "ORCHESTRATOR_API__CORS_ORIGINS"
    assert keys["gateway.retry_body"]["set"] == "default"
    code, out, _ = await daemon.cli("whoami")
    assert (code, "admin" in out) == (0, True)

    async with Client(daemon.url, "guess") as client:
        for _ in range(12):
            with suppress(OrchestratorError):
                await client.services()
    assert (await daemon.cli("--token", "another-guess", "ls"))[0] == 7
    assert (await daemon.cli("ls"))[0] == 0, "the admin token of this host is never kept waiting"
