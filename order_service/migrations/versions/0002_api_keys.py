"""API keys."""

from order_service.migrations.script import run_script

revision = "0002_api_keys"
down_revision = "0001_orders"


def upgrade() -> None:
    """Run the SQL file of this revision."""
    run_script("0002_api_keys.sql")
