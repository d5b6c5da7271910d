-- The table in which Alembic keeps the current revision. Alembic makes it when it migrates; it is made here too, so that a database
-- installed from these files can be migrated.
create table if not exists aximo_private.alembic_version (
    version_num varchar(32) not null,
    constraint alembic_version_pkc primary key (version_num)
);
comment on table aximo_private.alembic_version is 'The newest migration applied. Written by alembic.';
comment on column aximo_private.alembic_version.version_num is 'The revision.';
