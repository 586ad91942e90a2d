"""Films stand in lists among the jobs: their names as they are searched, and indexes of their own.

Revision 0016.
"""

import unicodedata

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

NEWEST = ["created_at", "id"]
REST = ["name_folded", "outcome", "owner_id"]  # so that a list asks the index alone


def _fold_names() -> None:
    """As the farm folds names."""
    films = sa.table("films", sa.column("id"), sa.column("name"), sa.column("name_folded"))
    connection = op.get_bind()
    for film_id, name in connection.execute(sa.select(films.c.id, films.c.name)).all():
        parts = unicodedata.normalize("NFKD", name)
        folded = "".join(part for part in parts if not unicodedata.combining(part)).casefold()[:240]
        connection.execute(films.update().where(films.c.id == film_id).values(name_folded=folded))


def upgrade() -> None:
    with op.batch_alter_table("films", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column("name_folded", sa.String(length=240), nullable=False, server_default="")
        )
    _fold_names()
    op.drop_index("ix_films_newest", "films")
    op.create_index("ix_films_newest", "films", [*NEWEST, *REST])
    op.create_index("ix_films_by_name", "films", ["name_folded", "id", "outcome", "owner_id"])


def downgrade() -> None:
    op.drop_index("ix_films_by_name", "films")
    op.drop_index("ix_films_newest", "films")
    op.create_index("ix_films_newest", "films", NEWEST)
    with op.batch_alter_table("films", schema=None) as batch_op:
        batch_op.drop_column("name_folded")
