-- The revision of the database's schema.
select version_num from alembic_version
