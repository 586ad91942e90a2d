"""An idempotency key has an owner, so that keys of two clients, of forms and of ids never meet.

Until now forms and ids had prefixes in the same column. Whose a client's key was, no row says: its owner
stays NULL, and it is found whoever sends it.

Revision 0006.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

INDEX = "ix_jobs_idempotency_key"
FORM_KEY_LENGTH = len("form ") + 64

jobs = sa.table(
    "jobs",
    sa.column("id", sa.String()),
    sa.column("idempotency_owner", sa.String()),
    sa.column("idempotency_key", sa.String()),
    sa.column("created_at", sa.DateTime(timezone=True)),
)
owner, key = jobs.c.idempotency_owner, jobs.c.idempotency_key


def upgrade() -> None:
    with op.batch_alter_table("jobs", schema=None) as batch_op:
        batch_op.add_column(sa.Column("idempotency_owner", sa.String(length=100), nullable=True))
        batch_op.drop_index(INDEX)
    of_form = key.startswith("form ") & (sa.func.length(key) == FORM_KEY_LENGTH)
    for name, found in (("id", key == sa.literal("id ") + jobs.c.id), ("form", of_form)):
        text = sa.func.substr(key, len(name) + 2)
        op.execute(jobs.update().where(found).values(idempotency_owner=name, idempotency_key=text))
    op.create_index(INDEX, "jobs", ["idempotency_owner", "idempotency_key"], unique=True)


def downgrade() -> None:
    op.drop_index(INDEX, "jobs")
    for name in ("id", "form"):
        prefixed = sa.literal(f"{name} ") + key
        op.execute(jobs.update().where(owner == name).values(idempotency_key=prefixed))
    _leave_each_key_to_its_first_job()
    with op.batch_alter_table("jobs", schema=None) as batch_op:
        batch_op.drop_column("idempotency_owner")
        batch_op.create_index(INDEX, ["idempotency_key"], unique=True)


def _leave_each_key_to_its_first_job() -> None:
    """Two owners may have the same key, of which there is one alone before this revision."""
    other = jobs.alias("other")
    earlier = (other.c.created_at < jobs.c.created_at) | (
        (other.c.created_at == jobs.c.created_at) & (other.c.id < jobs.c.id)
    )
    has_earlier = sa.exists().where(other.c.idempotency_key == key, earlier)
    op.execute(jobs.update().where(has_earlier).values(idempotency_key=None))
