"""What a person submitted in a day is counted, and the lists of one person's jobs have indexes.

Revision 0010.
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

OWNED = sa.text("owner_id IS NOT NULL")
LISTS = {
    "newest": ["created_at", "id", "name_folded"],
    "of_state": ["state", "created_at", "id", "name_folded"],
    "by_name": ["name_folded", "id", "state"],
}


def upgrade() -> None:
    with op.batch_alter_table("people", schema=None) as batch_op:
        batch_op.add_column(sa.Column("counted_on", sa.Date(), nullable=True))
        batch_op.add_column(
            sa.Column("counted_megapixels", sa.Double(), nullable=False, server_default="0")
        )
    op.drop_index("ix_jobs_owner_day", "jobs")
    for name, columns in LISTS.items():
        op.create_index(
            f"ix_jobs_owner_{name}",
            "jobs",
            ["owner_id", "exploration_id", *columns],
            sqlite_where=OWNED,
            postgresql_where=OWNED,
        )


def downgrade() -> None:
    for name in LISTS:
        op.drop_index(f"ix_jobs_owner_{name}", "jobs")
    op.create_index("ix_jobs_owner_day", "jobs", ["owner_id", "created_at"])
    with op.batch_alter_table("people", schema=None) as batch_op:
        batch_op.drop_column("counted_megapixels")
        batch_op.drop_column("counted_on")
