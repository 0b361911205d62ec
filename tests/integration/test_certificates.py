"""Certificates as files: what is taken, what is refused and with which words, how a renewed one comes in; and an API
that listens with one."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from certificates import make
from small_control import ADMIN, Cli, SmallControl

from orchestrator.api import connections
from orchestrator.api.app import build_app, serve
from orchestrator.api.doctor import host_checks
from orchestrator.api.door import admin_token
from orchestrator.auth import Certificate
from orchestrator.client import Client
from orchestrator.client.config import APIConfig, find_daemon
from orchestrator.client.trust import Trust
from orchestrator.core.errors import InvalidInput, Unavailable
from orchestrator.settings import Settings


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificates")
    for name in ("one", "two", "authority"):
        make(folder, name)
    make(folder, "ended", days=-1)
    make(folder, "soon", days=3)
    make(folder, "elsewhere", names="DNS:models.example.org")
    make(folder, "signed", signed_by=(folder / "authority.crt", folder / "authority.key"))
    (folder / "both.pem").write_bytes((folder / "one.crt").read_bytes() + (folder / "one.key").read_bytes())
    (folder / "garbage.crt").write_text("-----BEGIN CERTIFICATE-----\nabc\n-----END CERTIFICATE-----\n")
    (folder / "text.crt").write_text("no certificate")
    (folder / "empty.crt").touch()
    (folder / "large.crt").write_bytes(b"x" * (2 << 20))
    locked = ["ec", "-aes256", "-passout", "pass:x", "-in", str(folder / "one.key"), "-out", str(folder / "locked.key")]
    subprocess.run(["openssl", *locked], check=True, capture_output=True)
    return folder


@pytest.mark.parametrize(
    ("certificate", "key", "file", "why"),
    [
        ("one.crt", "two.key", "two.key", "it is not the key of the certificate in"),
        ("one.crt", "locked.key", "locked.key", "locked with a passphrase"),
        ("one.crt", "none.key", "none.key", "No such file"),
        ("none.crt", "one.key", "none.crt", "No such file"),
        ("one.crt", "one.crt", "one.crt", "holds no private key"),
        ("text.crt", "one.key", "text.crt", "holds no certificate"),
        ("empty.crt", "one.key", "empty.crt", "holds no certificate"),
        ("garbage.crt", "one.key", "garbage.crt", "holds no sound PEM"),
        ("large.crt", "one.key", "large.crt", "larger than 1 MiB"),
        (".", "one.key", ".", "Is a directory"),
    ],
)
def test_what_cannot_be_used_is_named(certificate: str, key: str, file: str, why: str, made: Path) -> None:
    with pytest.raises(InvalidInput) as caught:
        Certificate(made / certificate, made / key)
    assert f"cannot use {made / file} for TLS: " in caught.value.message
    assert why in caught.value.message
    assert caught.value.hint


def test_one_file_may_hold_both(made: Path) -> None:
    assert Certificate(made / "both.pem").warning == ""


@pytest.mark.parametrize(
    ("name", "said", "state"), [("one", "", "ok"), ("soon", "ends on", "warn"), ("ended", "ended on", "fail")]
)
def test_how_long_it_is_good_is_told(name: str, said: str, state: str, made: Path) -> None:
    found = Certificate(made / f"{name}.crt", made / f"{name}.key")
    assert said in found.warning
    assert bool(found.warning) == bool(said)
    tls = {"tls_certificate": str(found.file), "tls_key": str(made / f"{name}.key")}
    settings = Settings.model_validate({"gateway": tls, "runtime": "process"})
    check = next(one for one in host_checks(settings, running=False) if one.name == "gateway certificate")
    assert check.state == state


def test_a_renewed_one_comes_in_and_a_bad_one_does_not(made: Path, tmp_path: Path) -> None:
    def put(name: str, *kinds: str) -> None:
        for kind in kinds:
            shutil.copy(made / f"{name}.{kind}", tmp_path / f"live.{kind}")

    def looks() -> list[bool]:
        return [used.look(), used.look(), used.look()]

    put("one", "crt", "key")
    used = Certificate(tmp_path / "live.crt", tmp_path / "live.key")
    first = used.mark
    assert looks() == [False, False, False]
    put("two", "crt")
    assert used.look() is False, "who renews it has not written the key yet: not a word"
    assert used.problem == ""
    put("two", "key")
    assert looks() == [False, True, False]
    assert used.mark != first
    second = used.context
    put("ended", "crt", "key")
    assert looks() == [False, False, False]
    assert "live.crt for TLS: certificate has expired" in used.problem
    assert "the one before is used" in used.warning
    (tmp_path / "live.key").unlink()
    assert looks() == [False, False, False]
    assert "live.key for TLS: No such file" in used.problem
    assert used.context is second
    put("two", "crt", "key")
    looks()
    assert used.problem == ""


# --- an API that listens with it ------------------------------------------------------------------------------------


@pytest.fixture
async def address(made: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[str, int]]:
    """Of an API with three places and little patience."""
    monkeypatch.setattr(connections, "HANDSHAKE", 0.3)
    monkeypatch.setattr("orchestrator.api.app._MOST_CONNECTIONS", 3)
    certificate = Certificate(made / "signed.crt", made / "signed.key")
    app = build_app(SmallControl(), admin_token(ADMIN), listen="127.0.0.1:0")
    runner = await serve(app, "127.0.0.1:0", lambda: certificate.context)
    yield runner.addresses[0][:2]
    await runner.cleanup()


async def test_a_client_believes_what_it_was_told_to(address: tuple[str, int], made: Path) -> None:
    url = f"https://{address[0]}:{address[1]}"
    for trust, said in (
        (Trust(ca=str(made / "authority.crt")), ""),
        (Trust(ca=str(made / "signed.crt")), ""),
        (Trust(own=str(made / "signed.crt")), ""),
        (Trust(own=str(made / "one.crt")), "cannot trust the daemon"),
        (Trust(ca=str(made / "one.crt")), "cannot trust the daemon"),
        (Trust(), "unable to get local issuer certificate"),
    ):
        async with Client(url, ADMIN, timeout=5, trust=trust) as client:
            if said:
                with pytest.raises(Unavailable, match=said):
                    await client.status()
            else:
                assert (await client.status()).version == "1.2.3"
    async with Client(url.replace("https", "http"), ADMIN, timeout=5) as plain:
        with pytest.raises(Unavailable) as caught:
            await plain.status()
        assert "https://" in caught.value.hint


async def test_only_the_own_certificate_is_believed_under_any_name(made: Path) -> None:
    certificate = Certificate(made / "elsewhere.crt", made / "elsewhere.key")
    app = build_app(SmallControl(), admin_token(ADMIN), listen="127.0.0.1:0")
    runner = await serve(app, "127.0.0.1:0", lambda: certificate.context)
    url = f"https://127.0.0.1:{runner.addresses[0][1]}"
    async with Client(url, ADMIN, timeout=5, trust=Trust(own=str(certificate.file))) as client:
        assert await client.services()
    async with Client(url, ADMIN, timeout=5, trust=Trust(ca=str(certificate.file))) as client:
        with pytest.raises(Unavailable, match="not valid for"):
            await client.services()
    await runner.cleanup()


@pytest.mark.parametrize("file", ["none.crt", "one.key", "empty.crt"])
def test_a_file_without_a_certificate_is_named(file: str, made: Path) -> None:
    with pytest.raises(InvalidInput, match=f"{file} to check the daemon"):
        Trust(ca=str(made / file)).context()


async def test_a_client_with_tls_says_that_a_daemon_has_none() -> None:
    runner = await serve(build_app(SmallControl(), admin_token(ADMIN), listen="127.0.0.1:0"), "127.0.0.1:0")
    async with Client(f"https://127.0.0.1:{runner.addresses[0][1]}", ADMIN, timeout=5) as client:
        with pytest.raises(Unavailable) as caught:
            await client.status()
        assert "http://" in caught.value.hint
    await runner.cleanup()


async def test_who_does_not_shake_hands_holds_no_place(address: tuple[str, int], made: Path) -> None:
    silent = [await asyncio.open_connection(*address) for _ in range(5)]
    silent[4][1].write(b"GET / HTTP/1.1\r\n\r\n")
    trust = Trust(ca=str(made / "authority.crt"))
    async with Client(f"https://{address[0]}:{address[1]}", ADMIN, timeout=5, trust=trust) as client:
        assert await client.services(), "they gave way"
        for reader, writer in silent:
            async with asyncio.timeout(5):
                await hung_up(reader)
            writer.close()
        assert await client.services()


async def hung_up(reader: asyncio.StreamReader) -> None:
    try:
        await reader.read()
    except ConnectionError:
        return


async def test_a_request_on_the_heels_of_the_handshake_is_whole(address: tuple[str, int], made: Path) -> None:
    context = Trust(ca=str(made / "authority.crt")).context()
    assert isinstance(context, ssl.SSLContext)
    sent = b'{"service": "echo"}'
    head = f"POST /v1/tokens HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {ADMIN}\r\nConnection: close\r\n"
    for _ in range(30):
        reader, writer = await asyncio.open_connection(*address, ssl=context)
        writer.write(f"{head}Content-Length: {len(sent)}\r\n\r\n".encode() + sent)
        async with asyncio.timeout(5):
            assert (await reader.read()).startswith(b"HTTP/1.1 201")
        writer.close()


# --- where a client finds its trust ---------------------------------------------------------------------------------


def test_the_daemon_of_this_host_is_known_by_its_own_certificate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_daemon(environ={}).url == "http://127.0.0.1:8090"
    found = find_daemon(environ={"ORCHESTRATOR_API__TLS_CERTIFICATE": "/x.crt"})
    assert (found.url, found.trust) == ("https://127.0.0.1:8090", Trust(own="/x.crt"))
    file = tmp_path / "config.toml"
    file.write_text('[api]\ntls_certificate = "a.crt"\n')
    found = find_daemon(config=file, environ={"ORCHESTRATOR_CA": "/ca.crt"})
    assert (found.url, found.trust) == ("https://127.0.0.1:8090", Trust("/ca.crt", str(tmp_path / "a.crt")))
    elsewhere = find_daemon(url="https://elsewhere:1", token="t", config=file, environ={})
    assert elsewhere.trust == Trust()
    for name in ("ORCHESTRATOR_URL", "ORCHESTRATOR_CA", "BACKEND_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    assert APIConfig().trust == Trust(own="a.crt")
    assert APIConfig("https://elsewhere:1", ca="/b.crt").trust == Trust(ca="/b.crt")


def test_a_context_keeps_its_authority(tmp_path: Path, cli: Cli) -> None:
    assert cli("context", "add", "lab", "--url", "https://lab:1", "--ca", str(tmp_path / "lab.crt"))[0] == 0
    found = find_daemon(context="lab", environ={"XDG_CONFIG_HOME": str(tmp_path / "xdg")})
    assert (found.url, found.trust) == ("https://lab:1", Trust(ca=str(tmp_path / "lab.crt")))
