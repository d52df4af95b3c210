"""The types of the rows that the commit statement is given."""

from order_service.migrations.script import run_script

revision = "0003_rows_to_commit"
down_revision = "0002_api_keys"


def upgrade() -> None:
    """Run the SQL file of this revision."""
    run_script("0003_rows_to_commit.sql")
