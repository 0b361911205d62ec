"""Whose certificates a client believes: the system's authorities, those of a file, or the local daemon's own file."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

from orchestrator.core.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class Trust:
    """`ca`: file with certificates in PEM form that are believed in place of the system's, also a self-signed one; the
    address must be one of its names. `own`: the certificate's file of the daemon on this host: it is that very one
    that must answer, under whatever name."""

    ca: str = ""
    own: str = ""

    def context(self) -> ssl.SSLContext | bool:
        """As aiohttp takes it. Raises `InvalidInput` for a file that holds no certificate."""
        if self.ca:
            return _of(self.ca)
        own = _first(self.own) if self.own else ""
        if not own:
            return True
        context = _plain(ssl.create_default_context(cadata=own))
        context.check_hostname = False
        return context


def _of(ca: str) -> ssl.SSLContext:
    try:
        return _plain(ssl.create_default_context(cafile=str(Path(ca).expanduser())))
    except (OSError, ssl.SSLError) as error:  # an SSLError is an OSError, too
        reason = "it holds no certificate in PEM form" if isinstance(error, ssl.SSLError) else error.strerror
        hint = "--ca and ORCHESTRATOR_CA name a file with the daemon's certificate or its authority's"
        raise InvalidInput(f"cannot use {ca} to check the daemon: {reason}", hint=hint) from None


def _plain(context: ssl.SSLContext) -> ssl.SSLContext:
    """A certificate that was given is believed as it is: it need not be an authority, nor as strict as one."""
    context.verify_flags = (context.verify_flags | ssl.VERIFY_X509_PARTIAL_CHAIN) & ~ssl.VERIFY_X509_STRICT
    return context


def _first(path: str) -> str:
    """The certificate itself, without those that it is signed by: they sign others, too. Empty: it cannot be read."""
    begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
    try:
        text = Path(path).read_text("ascii", "replace")
    except OSError:
        return ""
    body = text.partition(begin)[2].partition(end)[0]
    return f"{begin}{body}{end}\n" if body else ""
