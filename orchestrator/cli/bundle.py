"""`support-bundle`: what somebody needs who is to help, in one archive without secrets."""

from __future__ import annotations

import asyncio
import io
import json
import os
import platform
import re
import sys
import tarfile
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Mapping
from contextlib import aclosing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.common import Common, connect
from orchestrator.cli.output import clean, dump, print_json
from orchestrator.core.errors import InvalidInput, OrchestratorError, Unavailable
from orchestrator.core.hiding import hidden, hidden_text

if TYPE_CHECKING:
    from pydantic import BaseModel

    from orchestrator.client import Client
    from orchestrator.settings import Settings

EVENTS, LINES, SERVICES = 2000, 300, 200
"""Latest events; lines of each routing's log; services of which causes and logs are taken."""
PATIENCE = 10.0
"""Seconds that one question may take."""
LIBRARIES = ("aiohttp", "docker", "pydantic", "sqlalchemy", "typer")


def support_bundle(
    common: Common,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The .tar.gz that is written; must not be there yet.")],
) -> None:
    """Gather status, doctor, services, causes, events, plan, ends of logs, configuration and versions in one archive.

    Secrets are hidden: known values, everything in an environment, and what looks like a token or password. Look at it
    before you pass it on all the same. Works without a daemon, with what this host alone knows.

    Examples:
      orchestrator support-bundle /tmp/support.tar.gz
    """
    if file.exists():
        raise InvalidInput(f"cannot write {file}: there is such a file", hint="give another name, or remove it")
    settings, config = _settings(common)
    parts: dict[str, object] = {"config.json": config, "versions.json": _versions()}
    left = asyncio.run(_gathered(common, settings, parts))
    parts["left-out.json"] = left
    known = _secrets(common, settings)
    _write(file, {name: _text(part, known) for name, part in parts.items()})
    if common.json:
        print_json({"file": str(file), "parts": sorted(parts), "left_out": hidden(left, known)})
        return
    print(f"{clean(str(file))}: {len(parts)} parts, secrets hidden; look at it before you pass it on")
    for name, why in left.items():
        print(f"left out: {clean(name)}: {clean(hidden_text(why, known))}", file=sys.stderr)


def _settings(common: Common) -> tuple[Settings | None, object]:
    """Of this host's daemon, and as they are shown; None where they cannot be read."""
    from orchestrator.settings import load

    try:
        settings = load(common.config, os.environ)
    except OrchestratorError as error:
        return None, {"error": error.message}
    return settings, settings.model_dump(mode="json")


def _versions() -> dict[str, str]:
    from importlib.metadata import version

    from orchestrator import __version__

    libraries = {name: version(name) for name in LIBRARIES}
    made = datetime.now(UTC).isoformat(timespec="seconds")
    return {
        "orchestrator": __version__,
        "python": platform.python_version(),
        "system": platform.platform(),
        "made_at": made,
        **libraries,
    }


async def _gathered(common: Common, settings: Settings | None, parts: dict[str, object]) -> dict[str, str]:
    """Puts into `parts` what the daemon says; name to why of what it does not say."""
    from orchestrator.api.doctor import host_checks

    left: dict[str, str] = {}
    with _within("daemon", left):
        async with connect(common) as client:
            async with asyncio.timeout(PATIENCE):
                parts["status.json"] = dump(await client.status())
            async for name, part in _asked(client, left):
                parts[name] = part
    if "doctor.json" not in parts and settings is not None:
        parts["doctor.json"] = [dump(c) for c in await asyncio.to_thread(host_checks, settings, running=False)]
    return left


async def _asked(client: Client, left: dict[str, str]) -> AsyncIterator[tuple[str, object]]:
    questions: dict[str, Callable[[], Awaitable[BaseModel | tuple[BaseModel, ...]]]] = {
        "doctor.json": client.doctor,
        "services.json": client.services,
        "routings.json": client.routings,
        "plan.json": client.pending,
    }
    for name, question in questions.items():
        with _within(name, left):
            async with asyncio.timeout(PATIENCE):
                found = await question()
            yield name, [dump(one) for one in found] if isinstance(found, tuple) else dump(found)
    with _within("events.json", left):
        async with asyncio.timeout(PATIENCE):
            yield "events.json", [dump(event) for event in await client.events(limit=EVENTS)]
    with _within("services", left):
        async with asyncio.timeout(PATIENCE):
            services = await client.services()
        for service in services[:SERVICES]:
            async for part in _of_service(client, service.name, left):
                yield part
        if len(services) > SERVICES:
            left["services"] = f"causes and logs of {len(services) - SERVICES} of {len(services)}"


async def _of_service(client: Client, service: str, left: dict[str, str]) -> AsyncIterator[tuple[str, object]]:
    plain = re.sub(r"[^\w.-]", "_", service)
    with _within(f"services/{plain}.json", left):
        async with asyncio.timeout(PATIENCE):
            explained, detail = await client.explain(service), await client.service(service)
        yield f"services/{plain}.json", {"explain": dump(explained), "describe": dump(detail)}
    lines: list[str] = []
    with _within(f"logs/{plain}.log", left):
        async with asyncio.timeout(PATIENCE), aclosing(client.logs(service, tail=LINES)) as entries:
            async for entry in entries:
                lines.append(f"{entry.time.isoformat()} {entry.routing} {entry.stream} {entry.text}")
    if lines:
        yield f"logs/{plain}.log", "\n".join(lines) + "\n"


@contextmanager
def _within(name: str, left: dict[str, str]) -> Iterator[None]:
    """What cannot be had is left out, and said."""
    try:
        yield
    except TimeoutError:
        left[name] = f"no answer within {PATIENCE:g} s"
    except OrchestratorError as error:
        left[name] = error.message


def _secrets(common: Common, settings: Settings | None) -> set[str]:
    """Values that are secrets for sure, as far as this user may read them."""
    from orchestrator.client import find_daemon

    known = {os.environ.get("ORCHESTRATOR_TOKEN", "")}
    with suppress(OrchestratorError):
        known.add(find_daemon(url=common.url, token=common.token, config=common.config, context=common.context).token)
    if settings is not None:
        files = [settings.state_dir / "admin.token"]
        with suppress(OSError):
            files += settings.secrets_path.iterdir()
        for file in files:
            with suppress(OSError, UnicodeDecodeError):
                known.add(file.read_text("utf-8"))
        with suppress(OSError, ValueError, KeyError, TypeError):
            known |= {str(key["secret"]) for key in json.loads((settings.state_dir / "keys.json").read_text())["keys"]}
    return known - {""}


def _text(part: object, known: Collection[str]) -> str:
    if isinstance(part, str):
        return hidden_text(part, known)
    return json.dumps(hidden(part, known), ensure_ascii=False, indent=1) + "\n"


def _write(file: Path, parts: Mapping[str, str]) -> None:
    """Whole or not at all, 0600."""
    try:
        with tempfile.TemporaryDirectory(prefix=".bundle-", dir=file.absolute().parent) as folder:
            draft = Path(folder) / "draft"
            draft.touch(mode=0o600)
            with tarfile.open(draft, "w:gz") as tar:
                for name, text in sorted(parts.items()):
                    data = text.encode("utf-8", "backslashreplace")
                    member = tarfile.TarInfo(f"support/{name}")
                    member.size, member.mode = len(data), 0o600
                    member.mtime = int(datetime.now(UTC).timestamp())
                    tar.addfile(member, io.BytesIO(data))
            draft.replace(file)
    except OSError as error:
        raise Unavailable(f"cannot write {file}: {error.strerror}", hint="give a file in a folder of yours") from None
