"""Answers to which of two pictures is nearer to the painting.

Revision 0014.
"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0012"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)


def _job(column: str) -> sa.ForeignKeyConstraint:
    key = op.f(f"fk_comparisons_{column}_jobs")
    return sa.ForeignKeyConstraint([column], ["jobs.id"], name=key, ondelete="CASCADE")


def upgrade() -> None:
    op.create_table(
        "comparisons",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("first_job_id", sa.String(length=32), nullable=False),
        sa.Column("second_job_id", sa.String(length=32), nullable=False),
        sa.Column("rater", sa.String(length=64), nullable=False),
        sa.Column("owner_id", sa.Integer(), nullable=True),
        sa.Column("answer", sa.String(length=16), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.CheckConstraint("first_job_id < second_job_id", name=op.f("ck_comparisons_in_order")),
        _job("first_job_id"),
        _job("second_job_id"),
        sa.ForeignKeyConstraint(
            ["owner_id"],
            ["people.id"],
            name=op.f("fk_comparisons_owner_id_people"),
            ondelete="SET NULL",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_comparisons")),
        sa.UniqueConstraint(
            "first_job_id", "second_job_id", "rater", name=op.f("uq_comparisons_first_job_id")
        ),
    )
    op.create_index("ix_comparisons_second_job_id", "comparisons", ["second_job_id"])
    op.create_index("ix_comparisons_rater", "comparisons", ["rater"])
    op.create_index("ix_ratings_rater", "ratings", ["rater"])


def downgrade() -> None:
    op.drop_index("ix_ratings_rater", "ratings")
    op.drop_table("comparisons")
