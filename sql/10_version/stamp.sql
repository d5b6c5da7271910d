-- The revision that these files amount to. Alembic writes this row itself when it migrates.
insert into aximo_private.alembic_version (version_num) values ('0003_erasures');
