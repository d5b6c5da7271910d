-- Where alembic keeps its place, so that a database installed from these files is migrated like any other.
create table if not exists aximo_private.alembic_version (
    version_num varchar(32) not null,
    constraint alembic_version_pkc primary key (version_num)
);
insert into aximo_private.alembic_version (version_num) values ('0001_ledger');
