"""Brings a database to the schema of this code, at every start, in one transaction."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from orchestrator.core.errors import Conflict


def migrate(connection: Connection) -> None:
    """Upgrade to the newest revision. Raises `Conflict` for a schema that this code does not know: a newer one."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.attributes["connection"] = connection
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    unknown = set(MigrationContext.configure(connection).get_current_heads()) - known
    if unknown:
        raise Conflict(
            f"cannot open the store: its schema {', '.join(sorted(unknown))} is newer than this version of the program",
            hint="install the version that wrote it or a newer one, or restore the backup made before the upgrade",
            code="schema_newer",
        )
    command.upgrade(config, "head")
