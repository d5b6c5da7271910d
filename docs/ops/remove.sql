-- Removes the ledger from a database, with every event in it: its schemas and all that is in them, and the group roles if no other
-- database of the cluster uses them. Nothing brings it back but a backup. Run it as the owner of the database, whose name it asks for:
--
--   psql -X -v ON_ERROR_STOP=1 -v database=ledger -d ledger -f docs/ops/remove.sql
--
-- It is one transaction. What others made out of the ledger's objects, such as views over its views, and a gateway's own tables in
-- schema helix would go with it: it names them and ends with nothing removed. To remove them too: -v others=remove
-- Logins stay; what they were granted here goes.
\if :{?database}
\else
    \echo 'Say which database: -v database=NAME'
    \set ON_ERROR_STOP on
    select 1 / 0 as "say which database";
\endif
\if :{?others}
\else
    \set others keep
\endif
begin;
set local search_path = pg_catalog, pg_temp;
select set_config('aximo.remove_from', :'database', true) as named, set_config('aximo.remove_others', :'others', true) as others \gset
do $$
begin
    if current_setting('aximo.remove_from') <> current_database() then
        raise exception 'this is database %, and you named %', current_database(), current_setting('aximo.remove_from');
    end if;
    if to_regnamespace('aximo_private') is null then
        raise exception 'there is no ledger in database %', current_database();
    end if;
    if not pg_has_role('aximo_owner', 'usage') then
        raise exception 'role % may not act as aximo_owner', current_user using hint = 'Run it as the login that installed the ledger.';
    end if;
    if exists (select from pg_replication_slots as s where s.slot_name like 'aximo\_move\_%' and s.database = current_database())
        or exists (
            select from pg_subscription as s
            where s.subname like 'aximo\_move\_%' and s.subdbid = (select d.oid from pg_database as d where d.datname = current_database())
        )
        or exists (select from pg_publication as p where p.pubname like 'aximo\_move\_%')
    then
        raise exception 'a customer is being moved from or to this database'
            using hint = 'Go on with aximo-db move, or give it up with --abandon, first.';
    end if;
end;
$$;

-- What there is that is not the ledger's, to compare with what is there when the ledger is gone.
create temporary table not_the_ledgers on commit drop as
with
objects as (
    select 'pg_class'::regclass as classid, c.oid as objid, c.relnamespace as schema_id, c.relowner as owner_id from pg_class as c
    where c.relkind in ('r', 'p', 'v', 'm', 'f', 'S', 'i')
    union all
    select 'pg_proc'::regclass, p.oid, p.pronamespace, p.proowner from pg_proc as p
    union all
    select 'pg_type'::regclass, t.oid, t.typnamespace, t.typowner from pg_type as t where t.typtype in ('d', 'e', 'r')
    union all
    select 'pg_constraint'::regclass, k.oid, k.connamespace, c.relowner
    from pg_constraint as k inner join pg_class as c on c.oid = k.conrelid
    union all
    select 'pg_attrdef'::regclass, a.oid, c.relnamespace, c.relowner from pg_attrdef as a inner join pg_class as c on c.oid = a.adrelid
    union all
    select 'pg_policy'::regclass, y.oid, c.relnamespace, c.relowner from pg_policy as y inner join pg_class as c on c.oid = y.polrelid
    union all
    select 'pg_trigger'::regclass, g.oid, c.relnamespace, c.relowner
    from pg_trigger as g inner join pg_class as c on c.oid = g.tgrelid
    where not g.tgisinternal
    union all
    select 'pg_event_trigger'::regclass, e.oid, null, e.evtowner from pg_event_trigger as e
)
select o.classid, o.objid, pg_describe_object(o.classid, o.objid, 0) as described
from objects as o
left join pg_namespace as n on n.oid = o.schema_id
where n.nspname is null or n.nspname !~ '^pg_' and n.nspname <> 'information_schema' and (
    n.nspname not in ('aximo', 'aximo_metrics', 'aximo_private', 'helix')
    or o.owner_id not in (select r.oid from pg_roles as r where r.rolname ~ '^aximo_(owner|gatekeeper|recorder|sequencer|meter)$')
    and o.classid = 'pg_class'::regclass
    and exists (select from pg_class as c where c.oid = o.objid and c.relkind <> 'i')
);

-- The columns of others that are of a type of the ledger's.
create temporary table columns_of_others on commit drop as
select a.attrelid, a.attnum, format('column %I of %s', a.attname, a.attrelid::regclass) as described
from pg_attribute as a
inner join not_the_ledgers as o on o.classid = 'pg_class'::regclass and o.objid = a.attrelid
where a.attnum > 0 and not a.attisdropped;

set local client_min_messages = warning;
drop schema aximo, aximo_metrics, aximo_private, helix cascade;

do $$
declare
    gone text[];
begin
    gone := array(
        select o.described from not_the_ledgers as o
        where not exists (select from pg_class as x where x.oid = o.objid and o.classid = x.tableoid)
            and not exists (select from pg_proc as x where x.oid = o.objid and o.classid = x.tableoid)
            and not exists (select from pg_type as x where x.oid = o.objid and o.classid = x.tableoid)
            and not exists (select from pg_constraint as x where x.oid = o.objid and o.classid = x.tableoid)
            and not exists (select from pg_attrdef as x where x.oid = o.objid and o.classid = x.tableoid)
            and not exists (select from pg_policy as x where x.oid = o.objid and o.classid = x.tableoid)
            and not exists (select from pg_trigger as x where x.oid = o.objid and o.classid = x.tableoid)
            and not exists (select from pg_event_trigger as x where x.oid = o.objid and o.classid = x.tableoid)
        union all
        select c.described from columns_of_others as c
        where exists (select from pg_class as x where x.oid = c.attrelid)
            and not exists (select from pg_attribute as a where a.attrelid = c.attrelid and a.attnum = c.attnum and not a.attisdropped)
        order by 1
    );
    if cardinality(gone) > 0 and current_setting('aximo.remove_others') <> 'remove' then
        raise exception 'this would remove what is not the ledger''s: %', array_to_string(gone, '; ')
            using hint = 'Drop or move it first, or run the script with: -v others=remove';
    end if;
end;
$$;
drop table not_the_ledgers, columns_of_others;

-- What the roles would leave in this database: default privileges, and what hardening granted.
alter default privileges for role aximo_owner grant execute on functions to public;
alter default privileges for role aximo_owner grant usage on types to public;
alter default privileges for role aximo_gatekeeper grant execute on functions to public;
alter default privileges for role aximo_recorder grant execute on functions to public;
alter default privileges for role aximo_sequencer grant execute on functions to public;
alter default privileges for role aximo_meter grant execute on functions to public;
do $$
declare
    all_roles constant text[] := array[
        'aximo_monitor', 'aximo_auditor', 'aximo_operator', 'aximo_writer', 'aximo_reader', 'aximo_bi',
        'aximo_meter', 'aximo_sequencer', 'aximo_recorder', 'aximo_gatekeeper', 'aximo_owner'
    ];
    role_name text;
    used text;
begin
    foreach role_name in array all_roles loop
        if to_regrole(role_name) is not null then
            execute format('revoke all on database %I from %I', current_database(), role_name);
            if (select r.rolsuper from pg_roles as r where r.rolname = current_user) and exists (
                select
                from pg_language as l
                cross join lateral aclexplode(l.lanacl) as x
                where l.lanname = 'plpgsql' and x.grantee = role_name::regrole
            ) then
                execute format('revoke usage on language plpgsql from %I', role_name);
            end if;
        end if;
    end loop;
    select string_agg(distinct coalesce(d.datname::text, 'the cluster'), ', ') into used
    from pg_shdepend as s
    left join pg_database as d on d.oid = s.dbid or s.dbid = 0 and s.classid = 'pg_database'::regclass and d.oid = s.objid
    where s.refclassid = 'pg_authid'::regclass
        and s.refobjid in (select r.oid from pg_roles as r where r.rolname = any(all_roles))
        and s.classid <> 'pg_auth_members'::regclass;
    if used is not null then
        raise warning 'the ledger''s roles stay, as they are used in: %', used;
        return;
    end if;
    foreach role_name in array all_roles loop
        if to_regrole(role_name) is not null then
            execute format('drop role %I', role_name);
        end if;
    end loop;
exception
    when insufficient_privilege then
        raise warning 'the ledger''s roles stay, as % may not drop %', current_user, role_name;
end;
$$;
commit;
