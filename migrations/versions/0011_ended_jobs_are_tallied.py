"""Jobs that had ended before there were tallies are counted once.

Revision 0011.
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

SHARD = "before"  # of what was counted here

tallies = sa.table("tallies", *map(sa.column, ("name", "labels", "shard", "value")))
jobs = sa.table("jobs", sa.column("state"), sa.column("work_class"))


def upgrade() -> None:
    labels = sa.literal("state=", sa.String()) + jobs.c.state + ",class=" + jobs.c.work_class
    counts = (
        sa.select(
            sa.literal("farm_jobs_ended", sa.String()),
            labels,
            sa.literal(SHARD, sa.String()),
            sa.func.count(),
        )
        .where(jobs.c.state.in_(["succeeded", "failed", "cancelled"]))
        .group_by(jobs.c.state, jobs.c.work_class)
    )
    op.execute(tallies.insert().from_select(["name", "labels", "shard", "value"], counts))


def downgrade() -> None:
    op.execute(tallies.delete().where(tallies.c.shard == SHARD))
