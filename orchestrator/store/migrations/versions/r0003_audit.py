"""Every change that is asked for through the API is recorded: who, what, before and after."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "audit",
        sa.Column("seq", sa.Integer, nullable=False),
        sa.Column("time", sa.Double, nullable=False),
        sa.Column("service_key", sa.Text, nullable=False),
        sa.Column("known", sa.Integer, nullable=False),
        sa.Column("size", sa.Integer, nullable=False),
        sa.Column("record", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_audit"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_audit_service_key_seq", "audit", ["service_key", "seq"])
