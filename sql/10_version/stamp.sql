-- What these files amount to, in alembic's words. Alembic writes this itself when it migrates.
insert into aximo_private.alembic_version (version_num) values ('0001_ledger');
