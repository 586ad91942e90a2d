"""Films: clips among the uploads, jobs that are parts of a film, and the frames that they finish.

Revision 0015.
"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
OWNED = sa.text("owner_id IS NOT NULL")
OF_LISTS = {  # columns after those that keep jobs of explorations and films out
    "newest": ("created_at", "id", "name_folded"),
    "of_state": ("state", "created_at", "id", "name_folded"),
    "by_name": ("name_folded", "id", "state"),
}

jobs = sa.table("jobs", sa.column("id"), sa.column("film_id"))
CHILDREN = (  # of jobs, by their columns
    *((table, "job_id") for table in ("job_pictures", "attempts", "events", "loss_points")),
    *((table, "job_id") for table in ("log_lines", "ratings", "deliveries")),
    ("comparisons", "first_job_id"),
    ("comparisons", "second_job_id"),
)


def _create_list_indexes(*hidden: str) -> None:
    for name, columns in OF_LISTS.items():
        op.create_index(f"ix_jobs_{name}", "jobs", [*hidden, *columns])
        owned = ["owner_id", *hidden, *columns]
        op.create_index(
            f"ix_jobs_owner_{name}", "jobs", owned, sqlite_where=OWNED, postgresql_where=OWNED
        )


def _drop_list_indexes() -> None:
    for name in OF_LISTS:
        op.drop_index(f"ix_jobs_{name}", "jobs")
        op.drop_index(f"ix_jobs_owner_{name}", "jobs")


def _delete_parts() -> None:
    """Delete the parts of films, which are no pictures of their own, and what is theirs: SQLite does not
    follow foreign keys here."""
    parts = sa.select(jobs.c.id).where(jobs.c.film_id.is_not(None))
    for table, column in CHILDREN:
        child = sa.table(table, sa.column(column))
        op.execute(child.delete().where(child.c[column].in_(parts)))
    op.execute(jobs.delete().where(jobs.c.film_id.is_not(None)))


def upgrade() -> None:
    op.create_table(
        "films",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=120), nullable=False),
        sa.Column("owner_id", sa.Integer(), nullable=True),
        sa.Column("recipe", sa.JSON(), nullable=False),
        sa.Column("clip", sa.JSON(), nullable=False),
        sa.Column("settings", sa.JSON(), nullable=False),
        sa.Column("webhook_url", sa.String(length=1000), nullable=True),
        sa.Column("outcome", sa.String(length=16), nullable=True),
        sa.Column("error", sa.String(), nullable=True),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("finished_at", MOMENT, nullable=True),
        sa.ForeignKeyConstraint(
            ["owner_id"], ["people.id"], name=op.f("fk_films_owner_id_people"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_films")),
    )
    op.create_index("ix_films_newest", "films", ["created_at", "id"])
    op.create_index("ix_films_outcome", "films", ["outcome"])
    _drop_list_indexes()
    with op.batch_alter_table("workers", schema=None) as batch_op:  # those that are older have it not
        batch_op.add_column(
            sa.Column("films", sa.Boolean(), nullable=False, server_default=sa.text("false"))
        )
    with op.batch_alter_table("uploads", schema=None) as batch_op:
        batch_op.add_column(sa.Column("frames", sa.Integer(), nullable=False, server_default="1"))
    with op.batch_alter_table("jobs", schema=None) as batch_op:
        batch_op.add_column(sa.Column("film_id", sa.String(length=32), nullable=True))
        batch_op.add_column(sa.Column("film_part", sa.Integer(), nullable=True))
        batch_op.add_column(sa.Column("film_role", sa.String(length=16), nullable=True))
        key = batch_op.f("fk_jobs_film_id_films")
        batch_op.create_foreign_key(key, "films", ["film_id"], ["id"], ondelete="CASCADE")
    op.create_index("ix_jobs_film", "jobs", ["film_id", "film_part"], unique=True)
    _create_list_indexes("exploration_id", "film_id")
    op.create_table(
        "film_frames",
        sa.Column("film_id", sa.String(length=32), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("job_id", sa.String(length=32), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["film_id"], ["films.id"], name=op.f("fk_film_frames_film_id_films"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.id"], name=op.f("fk_film_frames_job_id_jobs"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("film_id", "number", name=op.f("pk_film_frames")),
    )
    op.create_index("ix_film_frames_job_id", "film_frames", ["job_id"])


def downgrade() -> None:
    op.drop_table("film_frames")
    _delete_parts()
    _drop_list_indexes()
    op.drop_index("ix_jobs_film", "jobs")
    with op.batch_alter_table("jobs", schema=None) as batch_op:
        batch_op.drop_constraint("fk_jobs_film_id_films", type_="foreignkey")
        for column in ("film_role", "film_part", "film_id"):
            batch_op.drop_column(column)
    with op.batch_alter_table("uploads", schema=None) as batch_op:
        batch_op.drop_column("frames")
    with op.batch_alter_table("workers", schema=None) as batch_op:
        batch_op.drop_column("films")
    _create_list_indexes("exploration_id")
    op.drop_table("films")
