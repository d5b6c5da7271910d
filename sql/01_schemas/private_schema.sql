-- Alembic creates this schema itself before it migrates: its version table is in it.
create schema aximo_private;
