-- Whether a migration has ever been run on this database.
select to_regclass('alembic_version') is not null
