-- The login that installs may work for every customer, so that an import works at once. To leave it out:
-- set aximo.grant_installer = off (PGOPTIONS='-c aximo.grant_installer=off').
do $$
begin
    if coalesce(current_setting('aximo.grant_installer', true), 'on') <> 'off' then
        perform aximo.grant_customer(session_user, '*');
    end if;
end;
$$;
