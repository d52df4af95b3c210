"""The whole schema of the first release."""

from order_service.migrations.script import run_script

revision = "0001_orders"
down_revision = None


def upgrade() -> None:
    """The tables, then what guards them."""
    run_script("0001_orders.sql")
    run_script("0001_guards.sql")
