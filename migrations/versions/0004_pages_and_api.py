"""What pages and API grew: explorations, ratings, webhooks, tokens, log lines, versions of rows.

Revision 0004.
"""

import unicodedata

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)


def _job(name: str) -> sa.ForeignKeyConstraint:
    key = op.f(f"fk_{name}_job_id_jobs")
    return sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=key, ondelete="CASCADE")


def _fold_names() -> None:
    """As the farm folds names from now on."""
    jobs = sa.table("jobs", sa.column("id"), sa.column("name"), sa.column("name_folded"))
    connection = op.get_bind()
    for job_id, name in connection.execute(sa.select(jobs.c.id, jobs.c.name)).all():
        parts = unicodedata.normalize("NFKD", name)
        folded = "".join(part for part in parts if not unicodedata.combining(part)).casefold()[:240]
        connection.execute(sa.update(jobs).where(jobs.c.id == job_id).values(name_folded=folded))


def upgrade() -> None:
    op.create_table(
        "explorations",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=120), nullable=False),
        sa.Column("recipe", sa.JSON(), nullable=False),
        sa.Column("across", sa.JSON(), nullable=False),
        sa.Column("down", sa.JSON(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_explorations")),
    )
    with op.batch_alter_table("jobs", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column("name_folded", sa.String(length=240), nullable=False, server_default="")
        )
        batch_op.add_column(sa.Column("version", sa.Integer(), nullable=False, server_default="0"))
        batch_op.add_column(sa.Column("exploration_id", sa.String(length=32), nullable=True))
        batch_op.add_column(sa.Column("cell", sa.Integer(), nullable=True))
        batch_op.add_column(sa.Column("look_sha256", sa.String(length=64), nullable=True))
        batch_op.add_column(sa.Column("webhook_url", sa.String(length=1000), nullable=True))
        batch_op.add_column(sa.Column("eta_spread_seconds", sa.Double(), nullable=True))
        key = batch_op.f("fk_jobs_exploration_id_explorations")
        batch_op.create_foreign_key(key, "explorations", ["exploration_id"], ["id"], ondelete="CASCADE")
        batch_op.drop_index("ix_jobs_newest")
        found_by = ["created_at", "id", "name_folded"]
        batch_op.create_index("ix_jobs_newest", ["exploration_id", *found_by])
        batch_op.create_index("ix_jobs_of_state", ["exploration_id", "state", *found_by])
        batch_op.create_index("ix_jobs_by_name", ["exploration_id", "name_folded", "id", "state"])
        batch_op.create_index("ix_jobs_look_sha256", ["look_sha256"])
    _fold_names()

    op.create_table(
        "log_lines",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("job_id", sa.String(length=32), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("text", sa.String(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        _job("log_lines"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_log_lines")),
    )
    op.create_index("ix_log_lines_job_id", "log_lines", ["job_id"])

    op.create_table(
        "ratings",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("job_id", sa.String(length=32), nullable=False),
        sa.Column("rater", sa.String(length=64), nullable=False),
        sa.Column("stars", sa.Integer(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.CheckConstraint("stars >= 1 AND stars <= 5", name=op.f("ck_ratings_one_to_five_stars")),
        _job("ratings"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ratings")),
        sa.UniqueConstraint("job_id", "rater", name=op.f("uq_ratings_job_id")),
    )

    op.create_table(
        "deliveries",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("job_id", sa.String(length=32), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("due_at", MOMENT, nullable=True),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("answer", sa.String(length=200), nullable=True),
        sa.Column("delivered_at", MOMENT, nullable=True),
        _job("deliveries"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deliveries")),
    )
    op.create_index("ix_deliveries_job_id", "deliveries", ["job_id"])
    op.create_index("ix_deliveries_due_at", "deliveries", ["due_at"])

    op.create_table(
        "tokens",
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("used_at", MOMENT, nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_tokens")),
        sa.UniqueConstraint("sha256", name=op.f("uq_tokens_sha256")),
    )


def downgrade() -> None:
    for table in ("tokens", "deliveries", "ratings", "log_lines"):
        op.drop_table(table)
    with op.batch_alter_table("jobs", schema=None) as batch_op:
        for index in ("look_sha256", "by_name", "of_state", "newest"):
            batch_op.drop_index(f"ix_jobs_{index}")
        batch_op.drop_constraint("fk_jobs_exploration_id_explorations", type_="foreignkey")
        for column in (
            "eta_spread_seconds",
            "webhook_url",
            "look_sha256",
            "cell",
            "exploration_id",
            "version",
            "name_folded",
        ):
            batch_op.drop_column(column)
        batch_op.create_index("ix_jobs_newest", ["created_at", "id"])
    op.drop_table("explorations")
