"""The whole schema of the first release."""

from order_service.migrations.script import run_script

revision = "0001_orders"
down_revision = None


def upgrade() -> None:
    """Run the SQL file of this revision."""
    run_script("0001_orders.sql")
