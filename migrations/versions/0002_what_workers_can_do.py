"""What workers can do: what the planner asks of them, and how fast they are.

Revision 0002.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("workers", schema=None) as batch_op:
        batch_op.add_column(sa.Column("device_kind", sa.String(length=8), nullable=True))
        batch_op.add_column(sa.Column("itemsize", sa.Integer(), nullable=True))
        batch_op.add_column(sa.Column("winograd", sa.Boolean(), nullable=True))
        batch_op.add_column(sa.Column("budget_bytes", sa.BigInteger(), nullable=True))
        batch_op.add_column(sa.Column("seconds_per_megapixel", sa.Double(), nullable=True))

    _guess_until_they_tell()
    with op.batch_alter_table("workers", schema=None) as batch_op:
        batch_op.alter_column("device_kind", existing_type=sa.String(length=8), nullable=False)
        batch_op.alter_column("itemsize", existing_type=sa.Integer(), nullable=False)
        batch_op.alter_column("winograd", existing_type=sa.Boolean(), nullable=False)
        batch_op.alter_column("budget_bytes", existing_type=sa.BigInteger(), nullable=False)


def _guess_until_they_tell() -> None:
    """A worker's next start writes its own row anew; until then, the defaults of float32."""
    workers = sa.table(
        "workers",
        sa.column("device", sa.String()),
        sa.column("memory_bytes", sa.BigInteger()),
        sa.column("device_kind", sa.String()),
        sa.column("itemsize", sa.Integer()),
        sa.column("winograd", sa.Boolean()),
        sa.column("budget_bytes", sa.BigInteger()),
    )
    is_cpu = workers.c.device.startswith("CPU")
    op.execute(
        workers.update().values(
            device_kind=sa.case((is_cpu, "cpu"), else_="cuda"),
            itemsize=4,
            winograd=sa.case((is_cpu, sa.true()), else_=sa.false()),
            budget_bytes=workers.c.memory_bytes // 4 * 3,
        )
    )


def downgrade() -> None:
    with op.batch_alter_table("workers", schema=None) as batch_op:
        batch_op.drop_column("seconds_per_megapixel")
        batch_op.drop_column("budget_bytes")
        batch_op.drop_column("winograd")
        batch_op.drop_column("itemsize")
        batch_op.drop_column("device_kind")
