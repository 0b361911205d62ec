"""A whole daemon with TLS on its API and its gateway: certificates are renewed under load and nobody notices."""

from __future__ import annotations

import asyncio
import shutil
import socket
import ssl
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
from certificates import make
from harness import Daemon, echo, until
from traffic import Load

from orchestrator.client import Client
from orchestrator.client.trust import Trust

Daemons = Callable[..., Awaitable[Daemon]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificates")
    for name in ("first", "second"):
        make(folder, name)
    make(folder, "ended", days=-1)
    (folder / "all.crt").write_bytes((folder / "first.crt").read_bytes() + (folder / "second.crt").read_bytes())
    return folder


def subject(address: str, context: ssl.SSLContext) -> str:
    """Common name of the certificate that a new connection is shown."""
    place = urlsplit(address)
    assert place.hostname is not None
    assert place.port is not None
    with (
        socket.create_connection((place.hostname, place.port), 5) as plain,
        context.wrap_socket(plain, server_hostname=place.hostname) as secure,
    ):
        parts: Any = (secure.getpeercert() or {})["subject"]
    return str(dict(part[0] for part in parts)["commonName"])


async def alive(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """One request on a connection that stays."""
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
    async with asyncio.timeout(5):
        return b'"ok"' in await reader.readuntil(b"}")


async def test_a_certificate_is_renewed_and_no_connection_is_dropped(
    daemons: Daemons, made: Path, tmp_path: Path
) -> None:
    live = tmp_path / "live.crt", tmp_path / "live.key"

    def put(name: str) -> None:
        for file in live:
            shutil.copy(made / f"{name}{file.suffix}", file)

    put("first")
    daemon = await daemons(tls=live)
    daemon.drop("echo", echo())
    service = await daemon.settled("echo")
    assert service.endpoint == daemon.endpoint("echo", "")
    assert service.endpoint.startswith("https://")
    assert (await daemon.cli("ls"))[0] == 0, "the daemon of this host is known by its own certificate"
    code, _, err = await daemon.cli("--url", daemon.url, "--token", daemon.admin_token, "ls")
    assert (code, "--ca FILE" in err) == (1, True)
    assert (await daemon.cli("--url", daemon.url, "--token", daemon.admin_token, "--ca", str(live[0]), "ls"))[0] == 0

    context = ssl.create_default_context(cafile=made / "all.crt")
    header = await daemon.header("echo")
    connector = aiohttp.TCPConnector(ssl=context)
    async with (
        aiohttp.ClientSession(connector=connector, headers=header) as session,
        session.get(daemon.endpoint("echo", "/stream?n=60&delay=0.2")) as stream,
        Client(daemon.url, daemon.admin_token, trust=Trust(ca=str(made / "all.crt"))) as client,
        aclosing(client.follow_events()) as events,
        Load(daemon.endpoint("echo"), header, rate=100, connections=10, tls=context) as load,
    ):
        await anext(events)
        place = urlsplit(daemon.url)
        kept = await asyncio.open_connection(place.hostname, place.port, ssl=context)
        assert await alive(*kept)
        await load.reaches(100)
        put("second")
        for address in (daemon.url, daemon.gateway_url):
            await until(lambda at=address: subject(at, context) == "second", 20)  # type: ignore[misc]
        await load.reaches(load.answered + 300)
        assert await alive(*kept), "the connection that began with the first one"
        kept[1].close()
        await client.scale("echo", 2)
        async for event in events:
            if event.kind == "routing.healthy" and event.service == "echo":
                break
        put("ended")
        await until(lambda: any(line.get("event") == "certificate.refused" for line in daemon.logged()), 20)
        refused = next(line for line in daemon.logged() if line.get("event") == "certificate.refused")
        assert f"cannot use {live[0]} for TLS: certificate has expired" in refused["cause"]
        for address in (daemon.url, daemon.gateway_url):
            assert subject(address, context) == "second"
        answered = (await asyncio.wait_for(stream.read(), 30)).count(b"data:")
    assert answered == 60, "a stream that was open meanwhile comes to its own end"
    assert not load.failures, str(load)
    status, _, _ = await daemon.cli("doctor")
    assert status == 1, "doctor looks at the files as they are now"
    put("second")
    assert await daemon.stop() == 0
    pem = [path.name for path in (daemon.state_dir / "gateway").glob("tls-*.pem")]
    assert len(pem) == 1, "those that are not used any more are gone"


async def test_a_daemon_does_not_start_with_a_certificate_that_cannot_be_used(
    tmp_path: Path, artifacts: Path, made: Path
) -> None:
    daemon = Daemon(tmp_path, artifacts, tls=(made / "first.crt", made / "second.key"))
    await daemon.start(ready=False)
    await until(lambda: daemon.process.exitcode is not None)
    assert daemon.process.exitcode == 2
    assert f"cannot use {made / 'second.key'} for TLS: it is not the key" in daemon.log_tail()
    await daemon.end_everything()
