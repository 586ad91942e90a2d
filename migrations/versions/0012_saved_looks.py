"""Looks that people saved.

Revision 0012.
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

NOBODYS = sa.text("owner_id IS NULL")


def upgrade() -> None:
    op.create_table(
        "looks",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("owner_id", sa.Integer(), nullable=True),
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("settings", sa.JSON(), nullable=False),
        sa.Column("shared", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["owner_id"], ["people.id"], name=op.f("fk_looks_owner_id_people"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_looks")),
    )
    op.create_index("ix_looks_owner_name", "looks", ["owner_id", "name"], unique=True)
    op.create_index(
        "ix_looks_name",
        "looks",
        ["name"],
        unique=True,
        sqlite_where=NOBODYS,
        postgresql_where=NOBODYS,
    )


def downgrade() -> None:
    op.drop_table("looks")
