"""A fleet: accounts, whose jobs and uploads are; what workers are and take; shares, tallies, the audit.

Revision 0009. Whoever had a token could do everything, so each becomes an operator of that name.
"""

import sqlalchemy as sa
from alembic import op
from alembic.operations.base import BatchOperations

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)

tokens = sa.table(
    "tokens",
    sa.column("name", sa.String()),
    sa.column("person_id", sa.Integer()),
    sa.column("created_at", MOMENT),
)
people = sa.table(
    "people",
    sa.column("id", sa.Integer()),
    sa.column("name", sa.String()),
    sa.column("role", sa.String()),
    sa.column("created_at", MOMENT),
)


def _refer_to_person(table: str, on_delete: str) -> sa.ForeignKeyConstraint:
    name = op.f(f"fk_{table}_person_id_people")
    return sa.ForeignKeyConstraint(["person_id"], ["people.id"], name=name, ondelete=on_delete)


def _create_people() -> None:
    op.create_table(
        "people",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("max_running", sa.Integer(), nullable=True),
        sa.Column("max_waiting", sa.Integer(), nullable=True),
        sa.Column("max_megapixels_a_day", sa.Double(), nullable=True),
        sa.Column("max_stored_bytes", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_people")),
        sa.UniqueConstraint("name", name=op.f("uq_people_name")),
    )
    op.create_table(
        "sign_in_links",
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("person_id", sa.Integer(), nullable=False),
        sa.Column("ends_at", MOMENT, nullable=False),
        _refer_to_person("sign_in_links", "CASCADE"),
        sa.PrimaryKeyConstraint("sha256", name=op.f("pk_sign_in_links")),
    )
    op.create_table(
        "upload_owners",
        sa.Column("upload_sha256", sa.String(length=64), nullable=False),
        sa.Column("person_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["upload_sha256"],
            ["uploads.sha256"],
            name=op.f("fk_upload_owners_upload_sha256_uploads"),
            ondelete="CASCADE",
        ),
        _refer_to_person("upload_owners", "CASCADE"),
        sa.PrimaryKeyConstraint("upload_sha256", "person_id", name=op.f("pk_upload_owners")),
    )
    op.create_index("ix_upload_owners_person_id", "upload_owners", ["person_id"])
    op.create_table(
        "shares",
        sa.Column("owner_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("used_seconds", sa.Double(), nullable=False),
        sa.Column("used_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("owner_id", name=op.f("pk_shares")),
    )
    op.create_table(
        "audit_lines",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("person", sa.String(length=80), nullable=False),
        sa.Column("action", sa.String(length=40), nullable=False),
        sa.Column("subject", sa.String(length=200), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_lines")),
    )
    op.create_index("ix_audit_lines_created_at", "audit_lines", ["created_at"])


def _make_operators_of_tokens() -> None:
    with op.batch_alter_table("tokens", schema=None) as batch_op:
        batch_op.add_column(sa.Column("person_id", sa.Integer(), nullable=True))
    mine = sa.select(tokens.c.name, sa.literal("operator"), tokens.c.created_at)
    op.execute(people.insert().from_select(["name", "role", "created_at"], mine))
    person = sa.select(people.c.id).where(people.c.name == tokens.c.name).scalar_subquery()
    op.execute(tokens.update().values(person_id=person))
    with op.batch_alter_table("tokens", schema=None) as batch_op:
        batch_op.alter_column("person_id", existing_type=sa.Integer(), nullable=False)
        key = batch_op.f("fk_tokens_person_id_people")
        batch_op.create_foreign_key(key, "people", ["person_id"], ["id"], ondelete="CASCADE")
        batch_op.create_index("ix_tokens_person_id", ["person_id"])


def _add_owner(batch_op: BatchOperations, table: str) -> None:
    batch_op.add_column(sa.Column("owner_id", sa.Integer(), nullable=True))
    key = batch_op.f(f"fk_{table}_owner_id_people")
    batch_op.create_foreign_key(key, "people", ["owner_id"], ["id"], ondelete="SET NULL")


def upgrade() -> None:
    _create_people()
    _make_operators_of_tokens()
    with op.batch_alter_table("explorations", schema=None) as batch_op:
        _add_owner(batch_op, "explorations")
    with op.batch_alter_table("jobs", schema=None) as batch_op:
        _add_owner(batch_op, "jobs")
        batch_op.add_column(sa.Column("tag", sa.String(length=40), nullable=True))
        batch_op.add_column(sa.Column("least_cpu_bytes", sa.BigInteger(), nullable=True))
        batch_op.add_column(sa.Column("least_cuda_bytes", sa.BigInteger(), nullable=True))
        batch_op.add_column(sa.Column("aside_at", MOMENT, nullable=True))
        batch_op.add_column(sa.Column("stored_bytes", sa.BigInteger(), nullable=True))
        # What a person has, by state and by day.
        batch_op.create_index("ix_jobs_owner", ["owner_id", "state"])
        batch_op.create_index("ix_jobs_owner_day", ["owner_id", "created_at"])
    with op.batch_alter_table("workers", schema=None) as batch_op:
        batch_op.add_column(sa.Column("host", sa.String(length=120), nullable=False, server_default=""))
        batch_op.add_column(
            sa.Column("instance", sa.String(length=32), nullable=False, server_default="")
        )
        batch_op.add_column(sa.Column("device_uuid", sa.String(length=80), nullable=True))
        batch_op.add_column(sa.Column("driver", sa.String(length=40), nullable=True))
        batch_op.add_column(sa.Column("precision", sa.String(length=16), nullable=True))
        batch_op.add_column(sa.Column("version", sa.String(length=40), nullable=True))
        batch_op.add_column(sa.Column("free_bytes", sa.BigInteger(), nullable=True))
        batch_op.add_column(sa.Column("utilisation", sa.Double(), nullable=True))
        batch_op.add_column(sa.Column("classes", sa.JSON(), nullable=False, server_default="[]"))
        batch_op.add_column(sa.Column("tags", sa.JSON(), nullable=False, server_default="[]"))
        state = sa.Column("state", sa.String(length=16), nullable=False, server_default="active")
        batch_op.add_column(state)
        batch_op.add_column(sa.Column("state_reason", sa.Text(), nullable=True))
        failures = sa.Column("failures_in_row", sa.Integer(), nullable=False, server_default="0")
        batch_op.add_column(failures)
        batch_op.add_column(sa.Column("job_id", sa.String(length=32), nullable=True))
    op.create_table(
        "farm_values",
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("changed_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_farm_values")),
    )
    op.create_table(
        "tallies",
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("labels", sa.String(length=200), nullable=False),
        sa.Column("shard", sa.String(length=120), nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("name", "labels", "shard", name=op.f("pk_tallies")),
    )


def downgrade() -> None:
    op.drop_table("tallies")
    op.drop_table("farm_values")
    with op.batch_alter_table("workers", schema=None) as batch_op:
        for column in (
            *("host", "instance", "device_uuid", "driver", "precision", "version", "free_bytes"),
            *("utilisation", "classes", "tags", "state", "state_reason", "failures_in_row", "job_id"),
        ):
            batch_op.drop_column(column)
    with op.batch_alter_table("jobs", schema=None) as batch_op:
        batch_op.drop_index("ix_jobs_owner_day")
        batch_op.drop_index("ix_jobs_owner")
        for column in ("stored_bytes", "aside_at", "least_cuda_bytes", "least_cpu_bytes", "tag"):
            batch_op.drop_column(column)
    for table in ("jobs", "explorations"):
        with op.batch_alter_table(table, schema=None) as batch_op:
            batch_op.drop_constraint(f"fk_{table}_owner_id_people", type_="foreignkey")
            batch_op.drop_column("owner_id")
    with op.batch_alter_table("tokens", schema=None) as batch_op:
        batch_op.drop_index("ix_tokens_person_id")
        batch_op.drop_constraint("fk_tokens_person_id_people", type_="foreignkey")
        batch_op.drop_column("person_id")
    for table in ("audit_lines", "shares", "upload_owners", "sign_in_links", "people"):
        op.drop_table(table)
