-- What is asked before the ledger is installed or upgraded. Each statement begins with its name.

-- name: here
-- The server, the database and the login, and what the login may do here.
select
    current_setting('server_version_num')::integer, current_setting('server_version'),
    current_setting('server_encoding'),
    current_user::text, current_database()::text, has_database_privilege(current_database(), 'create'),
    pg_is_in_recovery() or current_setting('transaction_read_only')::boolean,
    (select r.rolcreaterole or r.rolsuper from pg_catalog.pg_roles as r where r.rolname = current_user);

-- name: squatters
-- The schemas that are in the way of a first installation, and whose they are.
select format('schema %I, owned by %I', n.nspname, pg_get_userbyid(n.nspowner))
from pg_catalog.pg_namespace as n
where n.nspname in ('aximo', 'aximo_metrics', 'aximo_private', 'helix') and (
    not pg_has_role(current_user, n.nspowner, 'usage')
    or exists (select from pg_catalog.pg_proc as p where p.pronamespace = n.oid)
    or exists (
        select from pg_catalog.pg_class as c
        where c.relnamespace = n.oid and c.relname not in ('alembic_version', 'alembic_version_pkc')
    )
)
order by n.nspname;

-- name: roles
-- The group roles that are there: whether they have rights they must not have, and whether this login may act as them.
select
    r.rolname::text, r.rolcanlogin or r.rolsuper or r.rolbypassrls or r.rolcreaterole,
    pg_has_role(current_user, r.oid, 'usage')
    or pg_has_role(current_user, r.oid, 'member with admin option')
    or current_setting('server_version_num')::integer < 160000
    and (select m.rolcreaterole from pg_catalog.pg_roles as m where m.rolname = current_user)
from pg_catalog.pg_roles as r
where r.rolname = any(%s);

-- name: is_installed
-- Whether the ledger's own version table is there. Whoever may look at the catalog sees that.
select exists (
    select from pg_catalog.pg_class as c
    inner join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
    where n.nspname = 'aximo_private' and c.relname = 'alembic_version'
        and pg_get_userbyid(c.relowner) = 'aximo_owner'
);
