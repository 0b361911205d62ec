"""`backup` and `restore`: on the daemon's host, as its user; they work on the state directory, not through the API."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.common import Common
from orchestrator.cli.output import clean, print_json, when
from orchestrator.core.errors import InvalidInput

if TYPE_CHECKING:
    from orchestrator.settings import Settings


def backup(
    common: Common,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The archive that is written; must not be there yet.")],
) -> None:
    """Copy what the daemon keeps into one archive, while it runs or not: database, signing keys, admin token, secrets.

    FILE is readable by you only (0600): whoever has it can do everything that this daemon can. Model folders and
    config.toml are not in it.

    Examples:
      sudo -u orchestrator orchestrator backup /var/backups/orchestrator/$(date +%F).tar.gz
    """
    from orchestrator.app.backup import backup as write

    settings = _settings(common)
    manifest = write(settings, file)
    if common.json:
        print_json({"file": str(file), **manifest.model_dump(mode="json")})
        return
    size = file.stat().st_size
    print(f"{clean(str(file))}: {len(manifest.files)} files of {clean(str(settings.state_dir))}, {size} bytes")


def restore(
    common: Common, file: Annotated[Path, typer.Argument(metavar="FILE", help="An archive that `backup` wrote.")]
) -> None:
    """Put a backup in place of what the daemon keeps. The daemon must not run; what it serves goes on.

    The archive is read and checked whole first. What it replaces is kept in a folder of the state directory.

    Examples:
      systemctl stop orchestrator
      sudo -u orchestrator orchestrator restore /var/backups/orchestrator/2026-01-31.tar.gz
      systemctl start orchestrator
    """
    from orchestrator.app.backup import restore as put_back

    settings = _settings(common)
    done = put_back(settings, file)
    if common.json:
        told = {"file": str(file), "kept": str(done.kept) if done.kept else None}
        print_json(told | done.manifest.model_dump(mode="json"))
        return
    print(f"restored: {clean(str(settings.state_dir))} as of {when(done.manifest.made_at)}")
    if done.kept:
        print(f"what was there before: {clean(str(done.kept))}")
    print("tokens that were revoked since are valid again: see `orchestrator token ls`", file=sys.stderr)


def _settings(common: Common) -> Settings:
    """Of the daemon on this host. Raises `InvalidInput` where another one is meant."""
    from orchestrator.settings import load

    if common.url or common.context:
        hint = "run it there, with --config where its file is not the default one"
        raise InvalidInput("cannot reach the files of a daemon elsewhere: this works on its own host", hint=hint)
    return load(common.config, os.environ)
