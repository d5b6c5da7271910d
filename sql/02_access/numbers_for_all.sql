-- What is done for all customers at a time: it holds locks that all depend on, and tells how many events there are.
-- The group roles are the whole cluster's, so membership alone says nothing of this database: the access map does.
create function aximo_private.numbers_for_all() returns void
language plpgsql stable security definer parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    if not exists (
        select from aximo_private.customer_grants as g
        where g.role_name = session_user::text and g.customer_id = '*'
    )
    -- A superuser could grant it to itself; a job of the DBA's works as one where nobody else runs jobs.
    and not (select r.rolsuper from pg_catalog.pg_roles as r where r.rolname = session_user) then
        raise exception using
            errcode = 'ZXCUS',
            message = 'this is done for all customers, and this login was not granted all of them',
            detail = format('login %L', session_user),
            hint = format('As the owner of this database: select aximo.grant_customer(%L, ''*'')', session_user),
            constraint = 'numbers_for_all';
    end if;
end;
$$;
alter function aximo_private.numbers_for_all() owner to aximo_gatekeeper;
comment on function aximo_private.numbers_for_all() is 'Refuses logins that were not granted all customers in this database, ZXCUS: what is done for all customers is not theirs to do.';
