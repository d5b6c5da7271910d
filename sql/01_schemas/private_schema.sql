-- Alembic makes this one itself before it migrates, for its version table.
create schema aximo_private;
