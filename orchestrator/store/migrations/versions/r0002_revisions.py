"""Revisions keep who asked for them, what became of them, and what they were read from, ran and wrote. Their spec is
that of a routing alone: what is hot belongs to no revision."""

import json

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_REVISIONS = sa.table(
    "revisions", sa.column("service_id", sa.Text), sa.column("number", sa.Integer), sa.column("spec", sa.Text)
)


def upgrade() -> None:
    for name in ("by", "outcome"):
        op.add_column("revisions", sa.Column(name, sa.Text, nullable=False, server_default=""))
    op.add_column("revisions", sa.Column("outcome_at", sa.Double))
    op.add_column("revisions", sa.Column("image", sa.Text, nullable=False, server_default=""))
    op.add_column("revisions", sa.Column("definition", sa.Text, nullable=False, server_default="{}"))
    op.add_column("revisions", sa.Column("files", sa.Text))
    _keep_the_routing()


def _keep_the_routing() -> None:
    connection = op.get_bind()
    for row in connection.execute(sa.select(_REVISIONS)).fetchall():
        try:
            text = json.dumps(json.loads(row.spec)["routing"], separators=(",", ":"))
        except (ValueError, TypeError, KeyError):
            continue  # it is said when somebody asks for it: what runs does not depend on it
        one = sa.and_(_REVISIONS.c.service_id == row.service_id, _REVISIONS.c.number == row.number)
        connection.execute(sa.update(_REVISIONS).where(one).values(spec=text))
