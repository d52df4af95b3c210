"""The schema, as a chain of revisions. Each runs one file of plain SQL out of ``sql/``."""
