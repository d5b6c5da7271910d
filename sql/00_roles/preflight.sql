-- What the ledger needs of the database it is installed into, said before anything is created.
do $$
begin
    if current_setting('server_version_num')::integer < 150000 then
        raise exception using
            errcode = 'ZXENV',
            message = 'this PostgreSQL is too old for the ledger',
            detail = format('server_version is %s', current_setting('server_version')),
            hint = 'Install into PostgreSQL 15 or later.';
    end if;
    if current_setting('server_encoding') <> 'UTF8' then
        raise exception using
            errcode = 'ZXENV',
            message = 'the ledger needs a database encoded in UTF8',
            detail = format('server_encoding is %s', current_setting('server_encoding')),
            hint = 'create database ... encoding ''UTF8'' template template0';
    end if;
    if not has_database_privilege(current_database(), 'create') then
        raise exception using
            errcode = 'ZXENV',
            message = 'the installing role may not create schemas in this database',
            detail = format('role %I, database %I', current_user, current_database()),
            hint = 'Install as the owner of the database.';
    end if;
end;
$$;
