"""A certificate and its key as files that others renew: read at the start, and again whenever they have changed.

One that cannot be used changes nothing: the one before stays, and what is wrong is said once, with the file's name.
"""

from __future__ import annotations

import hashlib
import os
import ssl
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import structlog

from orchestrator.core.errors import InvalidInput

LOG = structlog.get_logger(__name__)
_MEMORY = next((folder for folder in ("/dev/shm",) if os.access(folder, os.W_OK)), None)
"""Where the copy of a key lies for a moment: on no disk, where there is such a place."""
LARGEST = 1 << 20
"""Bytes of a file."""
SOON = 14 * 86400.0
"""Seconds before its end in which `warning` speaks."""


class Certificate:
    """`key` None: it lies in the certificate's file. Raises `InvalidInput` where there is nothing to begin with; one
    that has ended is used all the same then (`warning` says so), since no service at all were worse."""

    def __init__(self, certificate: Path, key: Path | None = None, wall: Callable[[], float] = time.time) -> None:
        self.file = certificate
        self._key = key or certificate
        self._wall = wall
        self._seen: object = None
        self._changing: object = None
        self.problem = ""
        """Why the files as they are now are not used; empty: they are."""
        self._take(ended=True)

    def look(self) -> bool:
        """Read the files if they have changed and are quiet since the last look (who renews them writes one after the
        other); whether another certificate is used from now on."""
        state, before_that = self._state(), self._changing
        self._changing = state
        if state == self._seen or state != before_that:
            return False
        before = self.mark
        try:
            self._take()
        except InvalidInput as error:
            self._seen = state
            if error.message != self.problem:
                LOG.error("certificate.refused", cause=error.message, hint=error.hint, file=str(self.file))
            self.problem = error.message
            return False
        if self.mark != before:
            LOG.info("certificate.renewed", file=str(self.file), until=self.until)
        return self.mark != before

    def _take(self, *, ended: bool = False) -> None:
        state = self._state()
        pem = _whole(self.file) + (_whole(self._key) if self._key != self.file else b"")
        context, told = _tried(pem, self.file, self._key, strict=not ended)
        self._seen, self.problem = state, ""
        self.pem = pem.decode("utf-8", "replace")
        """Certificate, chain and key in one text."""
        self.context = context
        """For the next handshakes of a server."""
        self.mark = hashlib.sha256(pem).hexdigest()[:16]
        """Names what is in the files."""
        self.ends_at = ssl.cert_time_to_seconds(told["notAfter"])
        """Wall seconds."""
        self.until = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(self.ends_at))

    @property
    def ended(self) -> bool:
        return self._wall() >= self.ends_at

    @property
    def warning(self) -> str:
        """What is not well with it; empty: nothing."""
        if self.problem:
            return f"{self.problem}; the one before is used, until {self.until}"
        if self.ended:
            return f"the certificate in {self.file} ended on {self.until}"
        soon = self.ends_at - self._wall() < SOON
        return f"the certificate in {self.file} ends on {self.until}" if soon else ""

    def _state(self) -> object:
        """What a change of the files changes; a link that leads elsewhere is one."""
        found: list[object] = []
        for path in (self.file, self._key):
            try:
                seen = path.stat()
            except OSError as error:
                found.append(error.errno)
            else:
                found.append((seen.st_dev, seen.st_ino, seen.st_size, seen.st_mtime_ns))
        return found


def open_certificate(certificate: str, key: str) -> Certificate | None:
    """By the settings `tls_certificate` and `tls_key`; None: plain http. Raises `InvalidInput`."""
    return Certificate(Path(certificate), Path(key) if key else None) if certificate else None


def _whole(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
    except OSError as error:
        hint = "tls_certificate and tls_key in config.toml name files that the daemon's user may read"
        raise _refused(path, error.strerror or str(error), hint) from None
    if len(data) > LARGEST:
        raise _refused(path, f"it is larger than {LARGEST >> 20} MiB")
    return data + (b"" if data.endswith(b"\n") else b"\n")


def _tried(pem: bytes, certificate: Path, key: Path, *, strict: bool) -> tuple[ssl.SSLContext, dict[str, Any]]:
    """A server's context that has shaken hands with itself, and what the certificate says. Read from a copy, so that
    what was tried is what is used, whatever happens to the files meanwhile."""
    with tempfile.NamedTemporaryFile(prefix="tls-", dir=_MEMORY) as copy:  # made 0600
        copy.write(pem)
        copy.flush()
        context = _loaded(copy.name, pem, certificate, key)
    try:
        return context, _shaken(context, pem, ended=False)
    except ssl.SSLCertVerificationError as error:
        if strict or error.verify_code not in _TIMES:
            raise _refused(certificate, error.verify_message) from None
        return context, _shaken(context, pem, ended=True)
    except (ssl.SSLError, ValueError) as error:
        raise _refused(certificate, _reason(error)) from None


_TIMES = (9, 10)
"""X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED."""


def _loaded(name: str, pem: bytes, certificate: Path, key: Path) -> ssl.SSLContext:
    if b"-----BEGIN CERTIFICATE-----" not in pem:
        raise _refused(certificate, "it holds no certificate in PEM form")
    if b"PRIVATE KEY-----" not in pem:
        raise _refused(key, "it holds no private key in PEM form")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(name, password=_no_password)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise _refused(key, f"it is not the key of the certificate in {certificate}") from None
        raise _refused(certificate, _reason(error)) from None
    except InvalidInput as error:
        raise _refused(key, error.message) from None
    return context


def _no_password() -> str:
    raise InvalidInput("the key is locked with a passphrase, which nobody types for a daemon")


def _shaken(context: ssl.SSLContext, pem: bytes, *, ended: bool) -> dict[str, Any]:
    """What a client sees of it that trusts this very certificate. `ended`: whatever the time is."""
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | (_NO_CHECK_TIME if ended else 0)
    client.load_verify_locations(cadata=_first(pem))
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server_side = context.wrap_bio(to_server, to_client, server_side=True)
    client_side = client.wrap_bio(to_client, to_server)
    for side in (client_side, server_side, client_side, server_side):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
    found = client_side.getpeercert()
    if not found:
        raise ValueError("it says nothing of itself")
    return dict(found)


_NO_CHECK_TIME = 0x200000
"""X509_V_FLAG_NO_CHECK_TIME"""


def _first(pem: bytes) -> str:
    text = pem.decode("ascii", "replace")
    start = text.index("-----BEGIN CERTIFICATE-----")
    return text[start:].partition("-----END CERTIFICATE-----")[0] + "-----END CERTIFICATE-----\n"


def _reason(error: ssl.SSLError | ValueError) -> str:
    reason = getattr(error, "reason", None) or str(error)
    return "it holds no sound PEM" if "PEM" in reason else reason.lower().replace("_", " ")


def _refused(path: Path, why: str, hint: str = "") -> InvalidInput:
    mend = "mend the file: while the daemon runs it is read again by itself, and what was used before stays"
    return InvalidInput(f"cannot use {path} for TLS: {why}", hint=hint or mend)
