"""A delivery's status has a column of its own; until now it was read off its answer and its times.

Revision 0005.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

SENDING = "being sent"  # the answer that a claimed delivery had, and its status now

deliveries = sa.table(
    "deliveries",
    sa.column("status", sa.String()),
    sa.column("answer", sa.String()),
    sa.column("due_at", sa.DateTime(timezone=True)),
    sa.column("delivered_at", sa.DateTime(timezone=True)),
)


def upgrade() -> None:
    with op.batch_alter_table("deliveries", schema=None) as batch_op:
        batch_op.add_column(sa.Column("status", sa.String(length=16), nullable=True))
    settled = deliveries.c.due_at.is_(None)
    status = sa.case(
        (settled & deliveries.c.delivered_at.is_not(None), "delivered"),
        (settled, "given up"),
        (deliveries.c.answer == SENDING, SENDING),
        else_="waiting",
    )
    op.execute(deliveries.update().values(status=status))
    op.execute(deliveries.update().where(deliveries.c.answer == SENDING).values(answer=None))
    with op.batch_alter_table("deliveries", schema=None) as batch_op:
        batch_op.alter_column("status", existing_type=sa.String(length=16), nullable=False)


def downgrade() -> None:
    op.execute(deliveries.update().where(deliveries.c.status == SENDING).values(answer=SENDING))
    with op.batch_alter_table("deliveries", schema=None) as batch_op:
        batch_op.drop_column("status")
