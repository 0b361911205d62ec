"""Where the daemon is and what opens it: options, environment, then the configuration file that the daemon reads too.

Only three of that file's keys matter here (`api.listen`, `api.tls_certificate`, `state_dir`); the daemon checks the
rest.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestrator.client.contexts import Context, contexts_file, read_contexts
from orchestrator.client.trust import Trust
from orchestrator.core.errors import InvalidInput, NotAuthorised

LISTEN = "127.0.0.1:8090"
STATE_DIR = "/var/lib/orchestrator"

_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}


@dataclass(frozen=True, slots=True)
class Daemon:
    """`token` is not shown by repr."""

    url: str
    token: str = field(default="", repr=False)
    trust: Trust = Trust()


class APIConfig:
    """Where a session goes. `endpoint`: as given, else ORCHESTRATOR_URL or BACKEND_ENDPOINT, else the local daemon;
    `token`: as given, else ORCHESTRATOR_TOKEN, else, for the local daemon only, its own. `ca`: file with the
    certificates that an https endpoint is checked by, else ORCHESTRATOR_CA, else the system's. `timeout`: seconds of
    one request. Raises `InvalidInput` for what only Backend.AI knows.
    """

    def __init__(
        self,
        endpoint: str | None = None,
        endpoint_type: str = "api",
        domain: str = "default",
        group: str = "default",
        *,
        token: str | None = None,
        ca: str | None = None,
        timeout: float = 60.0,
    ) -> None:
        for name, given, only in (
            ("endpoint_type", endpoint_type, "api"),
            ("domain", domain, "default"),
            ("group", group, "default"),
        ):
            if given != only:
                raise InvalidInput(f"cannot use {name} {given!r}: only {only!r} is known here", hint="leave it out")
        url = endpoint or os.environ.get("ORCHESTRATOR_URL") or os.environ.get("BACKEND_ENDPOINT")
        token = token or os.environ.get("ORCHESTRATOR_TOKEN")
        if url is None:
            found = find_daemon(token=token, ca=ca)
            self.endpoint, self.token, self.trust = found.url, found.token, found.trust
        else:
            self.endpoint = checked_url(url)
            local = _told(find_config(None, os.environ), os.environ)
            here = self.endpoint == local.url  # the local daemon's token never goes to another address
            self.token = token or (_admin_token(local.state_dir) if here else "")
            self.trust = _trust(ca, os.environ, local.certificate if here else "")
        self.timeout = timeout


def find_daemon(
    *,
    url: str | None = None,
    token: str | None = None,
    config: Path | None = None,
    context: str | None = None,
    ca: str | None = None,
    environ: Mapping[str, str] | None = None,
) -> Daemon:
    """Each of url and token as given, else by the context that is named, else ORCHESTRATOR_URL / ORCHESTRATOR_TOKEN,
    else by ORCHESTRATOR_CONTEXT or the current context, else by the configuration file. A context's token goes to its
    own address only. The current context gives way to a configuration file that is named. `ca` as given, else the
    context's, else ORCHESTRATOR_CA; the daemon of the configuration file is known by its own certificate, too.

    Raises `InvalidInput` (a file that cannot be read, a context that is not there) or `NotAuthorised` (the file of the
    token may not be read).
    """
    environ = os.environ if environ is None else environ
    named = _context(context, config, environ) if not url else None
    if named is not None:
        return Daemon(checked_url(named.url), token or named.token, _trust(ca or named.ca, environ))
    url = url or environ.get("ORCHESTRATOR_URL")
    token = token or environ.get("ORCHESTRATOR_TOKEN")
    if url and token:
        return Daemon(checked_url(url), token, _trust(ca, environ))
    local = _told(find_config(config, environ), environ)
    address = checked_url(url or local.url)
    own = local.certificate if address == local.url else ""
    return Daemon(address, token or _admin_token(local.state_dir), _trust(ca, environ, own))


def _trust(ca: str | None, environ: Mapping[str, str], own: str = "") -> Trust:
    return Trust(ca or environ.get("ORCHESTRATOR_CA") or "", own)


def _context(name: str | None, config: Path | None, environ: Mapping[str, str]) -> Context | None:
    """The one that says where the daemon is; None: options, variables or the configuration file do."""
    if not name and environ.get("ORCHESTRATOR_URL"):
        return None
    told = name or (environ.get("ORCHESTRATOR_CONTEXT") if config is None else None)
    if told:
        return read_contexts(contexts_file(environ)).find(told)
    if config is not None or environ.get("ORCHESTRATOR_CONFIG"):
        return None
    found = read_contexts(contexts_file(environ))
    return found.find(found.current) if found.current else None


def find_config(config: Path | None, environ: Mapping[str, str]) -> Path | None:
    """The file that is read: the given one, ORCHESTRATOR_CONFIG, ./config.toml, /etc/orchestrator/config.toml."""
    told = config or environ.get("ORCHESTRATOR_CONFIG")
    if told:
        return Path(told)
    return next((p for p in (Path("config.toml"), Path("/etc/orchestrator/config.toml")) if p.is_file()), None)


@dataclass(frozen=True, slots=True)
class _Local:
    """What the configuration file says of its daemon. `certificate` empty: it listens without TLS."""

    url: str
    state_dir: Path
    certificate: str


def _told(path: Path | None, environ: Mapping[str, str]) -> _Local:
    """A relative path counts from its file, or, in the environment, from here."""
    told = _read(path) if path is not None else {}
    section = told.get("api")
    api = section if isinstance(section, dict) else {}
    listen = str(environ.get("ORCHESTRATOR_API__LISTEN") or api.get("listen") or LISTEN)

    def placed(variable: str, key: object, default: str) -> Path | None:
        given = environ.get(variable)
        base = path.parent if path is not None and not given else Path()
        named = given or key or default
        return base / Path(str(named)).expanduser() if named else None

    certificate = placed("ORCHESTRATOR_API__TLS_CERTIFICATE", api.get("tls_certificate"), "")
    state_dir = placed("ORCHESTRATOR_STATE_DIR", told.get("state_dir"), STATE_DIR)
    assert state_dir is not None
    host, _, port = listen.rpartition(":")
    scheme = "http" if certificate is None else "https"
    return _Local(f"{scheme}://{_EVERYWHERE.get(host, host)}:{port}", state_dir, str(certificate or ""))


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise InvalidInput(f"cannot read {path}: {error.strerror}", hint="give another file with --config") from None
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"cannot read {path}: {error}", hint="it must be TOML in UTF-8") from None


def checked_url(url: str) -> str:
    """With its scheme. Raises `InvalidInput` for what is no http or https address."""
    url = url if "://" in url else f"http://{url}"
    if not url.startswith(("http://", "https://")):
        raise InvalidInput(f"cannot reach {url!r}: it is not an http or https address")
    return url.rstrip("/")


def _admin_token(state_dir: Path) -> str:
    """Empty where there is none (no daemon was ever started there): the daemon, not we, refuses then."""
    path = state_dir / "admin.token"
    try:
        return path.read_text("utf-8").strip()
    except PermissionError:
        hint = "run as the daemon's user (sudo), or give --token or ORCHESTRATOR_TOKEN"
        raise NotAuthorised(f"cannot read {path}: permission denied", hint=hint) from None
    except (OSError, ValueError):
        return ""
