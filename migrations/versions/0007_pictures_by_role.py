"""A job's pictures by role in one table, instead of the photograph's column and the paintings' table.

Revision 0007.
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

CONTENT_KEY = "fk_jobs_content_sha256_uploads"

jobs = sa.table("jobs", sa.column("id"), sa.column("content_sha256"))
job_styles = sa.table("job_styles", sa.column("job_id"), sa.column("position"), sa.column("sha256"))
job_pictures = sa.table(
    "job_pictures",
    sa.column("job_id"),
    sa.column("role", sa.String()),
    sa.column("position", sa.Integer()),
    sa.column("upload_sha256"),
)


def upgrade() -> None:
    op.create_table(
        "job_pictures",
        sa.Column("job_id", sa.String(length=32), nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("upload_sha256", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.id"], name=op.f("fk_job_pictures_job_id_jobs"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["upload_sha256"], ["uploads.sha256"], name=op.f("fk_job_pictures_upload_sha256_uploads")
        ),
        sa.PrimaryKeyConstraint("job_id", "role", "position", name=op.f("pk_job_pictures")),
    )
    photographs = sa.select(jobs.c.id, sa.literal("content"), sa.literal(0), jobs.c.content_sha256)
    paintings = sa.select(
        job_styles.c.job_id, sa.literal("style"), job_styles.c.position, job_styles.c.sha256
    )
    for pictures in (photographs, paintings):
        op.execute(job_pictures.insert().from_select(list(job_pictures.c.keys()), pictures))
    op.create_index("ix_job_pictures_upload_sha256", "job_pictures", ["upload_sha256"])

    op.drop_table("job_styles")
    with op.batch_alter_table("jobs", schema=None) as batch_op:
        batch_op.drop_constraint(CONTENT_KEY, type_="foreignkey")
        batch_op.drop_column("content_sha256")


def downgrade() -> None:
    op.create_table(
        "job_styles",
        sa.Column("job_id", sa.String(length=32), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.id"], name=op.f("fk_job_styles_job_id_jobs"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["sha256"], ["uploads.sha256"], name=op.f("fk_job_styles_sha256_uploads")
        ),
        sa.PrimaryKeyConstraint("job_id", "position", name=op.f("pk_job_styles")),
    )
    of_job, role, position, sha256 = job_pictures.c
    paintings = sa.select(of_job, position, sha256).where(role == "style")
    op.execute(job_styles.insert().from_select(list(job_styles.c.keys()), paintings))

    with op.batch_alter_table("jobs", schema=None) as batch_op:
        batch_op.add_column(sa.Column("content_sha256", sa.String(length=64), nullable=True))
    photograph = sa.select(sha256).where(of_job == jobs.c.id, role == "content").scalar_subquery()
    op.execute(jobs.update().values(content_sha256=photograph))
    with op.batch_alter_table("jobs", schema=None) as batch_op:
        batch_op.alter_column("content_sha256", existing_type=sa.String(length=64), nullable=False)
        batch_op.create_foreign_key(CONTENT_KEY, "uploads", ["content_sha256"], ["sha256"])
    op.drop_table("job_pictures")
