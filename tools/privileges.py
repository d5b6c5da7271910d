"""Every privilege in the schemas of the ledger, as text: a grant that nobody meant shows in a review."""

from __future__ import annotations

from typing import Any

import psycopg

OURS = "(select oid from pg_namespace where nspname in ('aximo', 'aximo_private', 'aximo_metrics', 'helix'))"

_PRIVILEGES = f"""
    with
    granted as (
        select 'schema ' || nspname as object, nspowner as owner, null::name as part, a.*
        from pg_namespace, aclexplode(coalesce(nspacl, acldefault('n', nspowner))) as a where oid in {OURS}
        union all
        select case relkind when 'S' then 'sequence ' when 'v' then 'view ' when 'm' then 'matview ' else 'table ' end
            || oid::regclass, relowner, null, a.*
        from pg_class, aclexplode(
            coalesce(relacl, acldefault(case relkind when 'S' then 's' else 'r' end::"char", relowner))
        ) as a
        where relnamespace in {OURS} and relkind in ('r', 'p', 'v', 'm', 'f', 'S')
        union all
        select 'table ' || c.oid::regclass, c.relowner, attname, a.*
        from pg_attribute join pg_class as c on c.oid = attrelid, aclexplode(attacl) as a where c.relnamespace in {OURS}
        union all
        select 'function ' || oid::regprocedure, proowner, null, a.*
        from pg_proc, aclexplode(coalesce(proacl, acldefault('f', proowner))) as a where pronamespace in {OURS}
        union all
        select 'type ' || t.oid::regtype, typowner, null, a.*
        from pg_type as t left join pg_class as c on c.oid = t.typrelid,
            aclexplode(coalesce(typacl, acldefault('T', typowner))) as a
        where typnamespace in {OURS} and t.typcategory <> 'A' and coalesce(c.relkind, 'c') = 'c'
        union all
        select 'default for ' || case defaclobjtype when 'f' then 'functions' when 'T' then 'types' else defaclobjtype::text end
            || ' made by ' || pg_get_userbyid(defaclrole), defaclrole, defaclnamespace::regnamespace::name, a.*
        from pg_default_acl, aclexplode(defaclacl) as a
    )
    select
        object,
        case when grantee = 0 then 'PUBLIC' else pg_get_userbyid(grantee) end
            || case when grantee = owner then ' (owner)' else '' end as grantee,
        string_agg(distinct lower(privilege_type) || case when is_grantable then ' with grant option' else '' end, ', '),
        string_agg(distinct part, ', ' order by part)
    from granted
    -- Not in every PostgreSQL; its owner always has it.
    where not (privilege_type = 'MAINTAIN' and grantee = owner)
    group by object, 2, case when part is not null then privilege_type end
    order by object collate "C", 2, 3
"""


def render(connection: psycopg.Connection[Any]) -> str:
    """Every privilege there is, a line each: what, who, which, and of which columns if not of all."""
    lines = ["# Every privilege in the schemas of the ledger. Written by make generated; review changes."]
    last = None
    for thing, grantee, rights, columns in connection.execute(_PRIVILEGES).fetchall():
        if thing != last:
            lines += ["", thing]
            last = thing
        of_columns = f" ({columns})" if columns and columns != "-" else ""
        lines.append(f"    {grantee}: {rights}{of_columns}")
    lines += ["", "roles"]
    members = connection.execute(
        """
        select distinct g.rolname, m.rolname, m.rolname || ' is a member of ' || g.rolname
        from pg_auth_members as a join pg_roles as g on g.oid = a.roleid join pg_roles as m on m.oid = a.member
        where g.rolname ~ '^aximo_' and m.rolname ~ '^aximo_' order by 3
        """
    ).fetchall()
    lines += [f"    {text}" for *_, text in members]
    return "\n".join(lines) + "\n"
