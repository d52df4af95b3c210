"""${message}."""

from order_service.migrations.script import run_script

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}


def upgrade() -> None:
    """Run the SQL file of this revision."""
    run_script("${up_revision}.sql")
