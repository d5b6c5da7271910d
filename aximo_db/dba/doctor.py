"""What a DBA should worry about, looked up in the catalog.

The expected state of guards, policies, functions and grants is shipped with the package as a list of facts
(``data/facts.txt``, made from a fresh installation), so that drift shows as lines that are missing or new.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, Literal

import psycopg
from psycopg import sql

from aximo_db.client import statements
from aximo_db.client.connect import connect
from aximo_db.dba.assets import HEAD_SCHEMA_VERSION

__all__ = ["Finding", "examine", "facts", "fingerprint"]

Level = Literal["ok", "note", "warning", "error"]
LEVELS: Final[tuple[Level, ...]] = ("ok", "note", "warning", "error")
GROUP_ROLES: Final = (
    "aximo_owner",
    "aximo_gatekeeper",
    "aximo_recorder",
    "aximo_sequencer",
    "aximo_meter",
    "aximo_reader",
    "aximo_writer",
    "aximo_bi",
    "aximo_operator",
    "aximo_auditor",
    "aximo_monitor",
)
#: Those of them that own the schema's objects.
OWNING_ROLES: Final = GROUP_ROLES[:5]
#: From so many events without a number on, somebody should look why.
_FAR_BEHIND: Final = 100_000
#: How many executions of a customer are compared with their events.
_NEWEST: Final = 200
#: From so many remembered gaps on, each look at them takes more than a moment.
_MANY_HOLES: Final = 10_000
#: The first minor releases without CVE-2026-14680, by major version.
SAFE_MINORS: Final = {15: 19, 16: 15, 17: 11, 18: 6}

_API_GRANT: Final = re.compile(
    r"grant on ((function|type) (aximo|helix)\..*|schema (aximo|helix): usage) to (?!public$|aximo_)"
)

#: A fact of which there is one for each thing, and the thing.
_ONE_FACT: Final = re.compile(
    r"((?:owner of|function|table|policy|trigger(?! of)|view|materialized view|constraint|index|column|sequence)\b.*?): "
)

#: What ends a session that holds something up; the last one from PostgreSQL 17 on.
_TIMEOUTS: Final = ("statement_timeout", "idle_in_transaction_session_timeout", "transaction_timeout")

#: What is set for each login with customers, and no superuser or owner, the nearest first: for it here, for it, for all here, by the server.
_TIMEOUTS_SET: Final = """
select r.rolname::text, p.name, coalesce(
    (
        select split_part(s.setting, '=', 2)
        from pg_db_role_setting as d
        cross join lateral unnest(d.setconfig) as s (setting)
        where d.setrole in (r.oid, 0) and d.setdatabase in (0, (select oid from pg_database where datname = current_database()))
            and split_part(s.setting, '=', 1) = p.name
        order by d.setrole = 0, d.setdatabase = 0
        limit 1
    ),
    (select g.reset_val from pg_settings as g where g.name = p.name and g.source in ('configuration file', 'command line')),
    '0'
)
from pg_roles as r
cross join unnest(%(names)s::text[]) as p (name)
where r.rolcanlogin and not r.rolsuper and exists (select from pg_settings as g where g.name = p.name)
    and exists (select from aximo_private.customer_grants as g where g.role_name = r.rolname)
    and not exists (
        select from pg_roles as o where o.rolname = any(%(owners)s) and pg_has_role(r.oid, o.oid, 'member')
    )
order by 1, 2
"""

#: What a gateway keeps in schema helix besides what is the ledger's.
GATEWAY_TABLES: Final = ("projects", "artifacts", "param_sets", "run_inputs", "run_outputs")

#: What changes how the catalog writes definitions out.
_NEUTRAL: Final = (
    ("search_path", "pg_catalog, pg_temp"),
    ("quote_all_identifiers", "off"),
    ("standard_conforming_strings", "on"),
    ("timezone", "UTC"),
    ("datestyle", "ISO, YMD"),
    ("intervalstyle", "postgres"),
    ("extra_float_digits", "1"),
)

_FACTS: Final = r"""
with
ours as (
    select n.oid, n.nspname from pg_namespace as n where n.nspname in ('aximo', 'aximo_metrics', 'aximo_private', 'helix')
),
-- Without the tables of a gateway, which are not the ledger's.
classes as (
    select c.*
    from pg_class as c
    inner join ours as o on o.oid = c.relnamespace
    where o.nspname <> 'helix' or c.relkind <> 'r'
        or c.relname not in ('projects', 'artifacts', 'param_sets', 'run_inputs', 'run_outputs')
),
acls as (
    select format('schema %s', o.nspname) as thing, n.nspowner as owner, n.nspacl as acl
    from ours as o
    inner join pg_namespace as n on n.oid = o.oid
    union all
    select format('relation %s.%s', o.nspname, c.relname), c.relowner, c.relacl
    from ours as o
    inner join classes as c on c.relnamespace = o.oid and c.relkind in ('r', 'p', 'v', 'm', 'S', 'f')
    union all
    select format('column %s.%s.%s', o.nspname, c.relname, a.attname), c.relowner, a.attacl
    from ours as o
    inner join classes as c on c.relnamespace = o.oid
    inner join pg_attribute as a on a.attrelid = c.oid and a.attacl is not null
    union all
    select
        format('function %s.%s(%s)', o.nspname, p.proname, pg_get_function_identity_arguments(p.oid)),
        p.proowner,
        coalesce(p.proacl, acldefault('f', p.proowner))
    from ours as o
    inner join pg_proc as p on p.pronamespace = o.oid
    union all
    select format('type %s.%s', o.nspname, t.typname), t.typowner, coalesce(t.typacl, acldefault('T', t.typowner))
    from ours as o
    inner join pg_type as t on t.typnamespace = o.oid and t.typtype = 'd'
)
select format('owner of %s: %s', a.thing, pg_get_userbyid(a.owner)) as fact
from acls as a
where a.thing !~ '^column '
union all
select format(
    'grant on %s: %s to %s%s',
    a.thing, lower(x.privilege_type),
    case when x.grantee = 0 then 'public' else pg_get_userbyid(x.grantee) end,
    case when x.is_grantable then ' with grant option' else '' end
)
from acls as a
cross join lateral aclexplode(a.acl) as x
where x.grantee <> a.owner
    -- What the owner holds is told by being the owner, except where something was taken from it.
    or a.thing ~ '\.(events|event_types|events_position|customer_grants)$' and a.thing ~ '^relation (aximo_private|aximo\.event_types)'
    and x.privilege_type <> 'MAINTAIN'
    or a.thing ~ '^relation helix\.(runs|run_events|event_kinds|run_events_event_id_seq)$' and x.privilege_type <> 'MAINTAIN'
union all
select format(
    'function %s.%s(%s): returns %s, defaults %s, %s, %s, %s%s%s%sparallel %s, %s, cost %s, rows %s, %s, body %s',
    o.nspname, p.proname, pg_get_function_identity_arguments(p.oid),
    coalesce(pg_get_function_result(p.oid), '-'), coalesce(pg_get_expr(p.proargdefaults, 0), '-'),
    l.lanname,
    case when p.prosecdef then 'definer' else 'invoker' end,
    case p.provolatile when 'i' then 'immutable' when 's' then 'stable' else 'volatile' end || ', ',
    case when p.proisstrict then 'strict, ' end, case when p.proleakproof then 'leakproof, ' end,
    case when p.prokind <> 'f' then format('kind %s, ', p.prokind) end,
    case p.proparallel when 's' then 'safe' when 'r' then 'restricted' else 'unsafe' end,
    case when p.prosupport = 0 then 'unsupported' else p.prosupport::regproc::text end,
    p.procost, p.prorows,
    array_to_string(p.proconfig, '; '),
    md5(coalesce(pg_get_function_sqlbody(p.oid), p.prosrc))
)
from ours as o
inner join pg_proc as p on p.pronamespace = o.oid
inner join pg_language as l on l.oid = p.prolang
union all
select format(
    'table %s.%s: %s, row security %s, %s',
    o.nspname, c.relname,
    case c.relpersistence when 'p' then 'permanent' when 'u' then 'unlogged' else 'temporary' end,
    case when c.relrowsecurity then 'on' else 'off' end,
    case when c.relforcerowsecurity then 'forced' else 'not forced' end
)
from ours as o
inner join classes as c on c.relnamespace = o.oid and c.relkind in ('r', 'p')
union all
select format(
    'policy %s on %s.%s: %s, for %s to %s using %s check %s',
    p.policyname, p.schemaname, p.tablename, lower(p.permissive), lower(p.cmd), array_to_string(p.roles, ', '),
    coalesce(p.qual, '-'), coalesce(p.with_check, '-')
)
from pg_policies as p
inner join ours as o on o.nspname = p.schemaname
inner join classes as c on c.relnamespace = o.oid and c.relname = p.tablename
union all
select format(
    'trigger %s on %s.%s: %s, %s',
    t.tgname, o.nspname, c.relname,
    case t.tgenabled when 'A' then 'always' when 'O' then 'origin only' when 'R' then 'replica only' else 'disabled' end,
    regexp_replace(pg_get_triggerdef(t.oid), '^.* (BEFORE|AFTER|INSTEAD OF) ', '\1 ')
)
from ours as o
inner join classes as c on c.relnamespace = o.oid
inner join pg_trigger as t on t.tgrelid = c.oid and not t.tgisinternal
union all
select format(
    'trigger of constraint %s on %s.%s: %s by %s',
    k.conname, o.nspname, c.relname,
    case t.tgenabled when 'A' then 'always' when 'O' then 'origin only' when 'R' then 'replica only' else 'disabled' end,
    t.tgfoid::regproc
)
from ours as o
inner join classes as c on c.relnamespace = o.oid
inner join pg_trigger as t on t.tgrelid = c.oid and t.tgisinternal
inner join pg_constraint as k on k.oid = t.tgconstraint
-- Not those of a gateway's own tables.
where k.connamespace in (select w.oid from ours as w) and k.conrelid in (select w.oid from classes as w)
union all
select format(
    '%s %s.%s: %s, definition %s',
    case c.relkind when 'm' then 'materialized view' else 'view' end, o.nspname, c.relname, coalesce(array_to_string(c.reloptions, ', '), 'no options'),
    -- PostgreSQL 15 writes the alias before every column, later ones only where it is needed.
    md5(
        regexp_replace(
            regexp_replace(pg_get_viewdef(c.oid), '\s+', ' ', 'g'),
            '(?<!FROM )(?<!JOIN )(?<![.a-z_0-9])[a-z_0-9]+\.(?=("[a-z_]+"|[a-z_0-9]+)(?![a-z_0-9("]))', '', 'g'
        )
    )
)
from ours as o
inner join classes as c on c.relnamespace = o.oid and c.relkind in ('v', 'm')
union all
select format('rule %s on %s.%s', r.rulename, o.nspname, c.relname)
from ours as o
inner join classes as c on c.relnamespace = o.oid
inner join pg_rewrite as r on r.ev_class = c.oid and r.rulename <> '_RETURN'
union all
select format(
    'constraint %s on %s.%s: %s',
    k.conname, o.nspname, coalesce(c.relname, t.typname), pg_get_constraintdef(k.oid)
)
from pg_constraint as k
inner join ours as o on o.oid = k.connamespace
left join classes as c on c.oid = k.conrelid
left join pg_type as t on t.oid = k.contypid
where k.contype in ('c', 'p', 'u', 'f') and (c.oid is not null or t.oid is not null)
union all
select format(
    'index %s.%s: %s%s%s', o.nspname, i.relname, pg_get_indexdef(x.indexrelid),
    case when not x.indisvalid then ', not valid' end, case when not x.indisready or not x.indislive then ', not ready' end
)
from ours as o
inner join classes as c on c.relnamespace = o.oid
inner join pg_index as x on x.indrelid = c.oid
inner join pg_class as i on i.oid = x.indexrelid
union all
select format(
    'column %s.%s.%s: %s%s%s%s, default %s',
    o.nspname, c.relname, a.attname, format_type(a.atttypid, a.atttypmod),
    (select format(' collate %I', l.collname) from pg_collation as l where l.oid = a.attcollation and l.collname <> 'default'),
    case when a.attnotnull then ' not null' end,
    case when a.attidentity <> '' or a.attgenerated <> '' then format(' identity %s generated %s', a.attidentity, a.attgenerated) end,
    coalesce(pg_get_expr(d.adbin, d.adrelid), '-')
)
from ours as o
inner join classes as c on c.relnamespace = o.oid and c.relkind in ('r', 'p', 'v', 'm')
inner join pg_attribute as a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
left join pg_attrdef as d on d.adrelid = c.oid and d.adnum = a.attnum
union all
select format(
    'sequence %s.%s: start %s, increment %s, from %s to %s, cache %s, %s',
    o.nspname, c.relname, q.seqstart, q.seqincrement, q.seqmin, q.seqmax, q.seqcache,
    case when q.seqcycle then 'cycles' else 'does not cycle' end
)
from ours as o
inner join classes as c on c.relnamespace = o.oid
inner join pg_sequence as q on q.seqrelid = c.oid
union all
select format(
    'default privileges of %s%s on %s: %s to %s',
    pg_get_userbyid(f.defaclrole), coalesce(' in schema ' || n.nspname, ''), f.defaclobjtype, lower(x.privilege_type),
    case when x.grantee = 0 then 'public' else pg_get_userbyid(x.grantee) end
)
from pg_default_acl as f
left join ours as n on n.oid = f.defaclnamespace
cross join lateral aclexplode(f.defaclacl) as x
where n.oid is not null or pg_get_userbyid(f.defaclrole) in ('aximo_owner', 'aximo_gatekeeper', 'aximo_recorder', 'aximo_sequencer', 'aximo_meter')
union all
select format('statistics kept of column %s.%s.%s', o.nspname, c.relname, a.attname)
from ours as o
inner join classes as c on c.relnamespace = o.oid and c.relkind in ('r', 'm')
inner join pg_attribute as a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
where coalesce(a.attstattarget, -1) <> 0
    and exists (select from pg_attribute as k where k.attrelid = c.oid and k.attname = 'customer_id' and not k.attisdropped)
union all
select format('inheritance: %s of %s', i.inhrelid::regclass, i.inhparent::regclass)
from pg_inherits as i
inner join classes as c on c.oid = i.inhparent
inner join ours as o on o.oid = c.relnamespace
order by 1
"""

#: What names the kinds of events. A login that may not read it compares the rest.
_VOCABULARY: Final = ("aximo.event_types", "helix.event_kinds")

#: Roles of PostgreSQL's own that reach past the ledger's views.
_FAR_REACHING: Final = (
    "pg_read_all_data", "pg_write_all_data", "pg_maintain", "pg_monitor", "pg_read_all_stats", "pg_stat_scan_tables",
    "pg_read_server_files", "pg_write_server_files", "pg_execute_server_program", "pg_create_subscription",
)  # fmt: skip

#: What belongs to the ledger's roles without being the ledger's: whoever calls or reads it acts as that role.
_ELSEWHERE: Final = """
select pg_get_userbyid(d.refobjid), i.type, i.identity
from pg_shdepend as d
cross join lateral pg_identify_object(d.classid, d.objid, 0) as i
where d.dbid = (select oid from pg_database where datname = current_database())
    and d.deptype = 'o' and d.refclassid = 'pg_authid'::regclass and d.refobjid in (select oid from pg_roles where rolname = any(%s))
    and i.type in ('view', 'materialized view', 'function', 'procedure', 'aggregate', 'table', 'schema')
    and coalesce(i.schema, i.name) not in ('aximo', 'aximo_metrics', 'aximo_private', 'helix')
    and coalesce(i.schema, '') !~ '^pg_(toast|temp)'
order by 1, 2, 3
"""

#: Views of others that read a table of the ledger, with the rights of their owner, or keep a copy of what they read.
_VIEWS_OF_OTHERS: Final = """
select distinct
    format('%I.%I', n.nspname, c.relname), t.relname, pg_get_userbyid(c.relowner), c.relkind = 'm', r.rolsuper or r.rolbypassrls
from pg_rewrite as w
inner join pg_class as c on c.oid = w.ev_class and c.relkind in ('v', 'm')
inner join pg_namespace as n on n.oid = c.relnamespace and n.nspname not in ('aximo', 'aximo_metrics', 'aximo_private', 'helix')
inner join pg_roles as r on r.oid = c.relowner
inner join pg_depend as d on d.classid = 'pg_rewrite'::regclass and d.objid = w.oid and d.refclassid = 'pg_class'::regclass
inner join pg_class as t on t.oid = d.refobjid and t.oid <> c.oid
inner join pg_namespace as s on s.oid = t.relnamespace and s.nspname in ('aximo', 'aximo_metrics', 'aximo_private', 'helix')
where c.relkind = 'm' or t.relkind in ('r', 'p', 'm') and coalesce(c.reloptions::text !~ 'security_invoker=(true|on|yes|1)', true)
order by 1, 2
"""

#: Other databases in which the owning roles own something, and logins that may act as these roles and connect here, without
#: being this database's owner.
_NEIGHBOURS: Final = """
with
owners as (
    select r.oid from pg_roles as r where r.rolname = any(%s)
),
here as (
    select d.oid, d.datdba from pg_database as d where d.datname = current_database()
)
select
    array(
        select distinct d.datname::text
        from pg_shdepend as s
        inner join pg_database as d on d.oid = s.dbid and d.datallowconn
        where s.refclassid = 'pg_authid'::regclass and s.refobjid in (select o.oid from owners as o)
            and s.deptype = 'o' and s.dbid <> (select h.oid from here as h)
        order by 1
    ),
    array(
        select r.rolname::text
        from pg_roles as r
        cross join here as h
        where r.rolcanlogin and not r.rolsuper and not pg_has_role(r.oid, h.datdba, 'member')
            and has_database_privilege(r.oid, h.oid, 'connect')
            and exists (select from owners as o where pg_has_role(r.oid, o.oid, 'member'))
        order by 1
    )
"""

#: Each log, where its positions come from, how far it is numbered, the last position given, what may still come, and
#: whether there are entries of which the state knows nothing.
_LOGS: Final = """
select
    p.log, p.sequence, s.high_position, p.last, (select count(*) from aximo_private.log_holes as h where h.log = p.log),
    case when s.high_position = 0 then exists (select from aximo_private.log_entries as e where e.log = p.log) else false end
from (
    select 'events' as log, 'aximo_private.events_position' as sequence, case when is_called then last_value else 0 end as last
    from aximo_private.events_position
    union all
    select 'run_events', 'helix.run_events_event_id_seq', case when is_called then last_value else 0 end
    from helix.run_events_event_id_seq
) as p
left join aximo_private.logs as s on s.log = p.log
order by p.log
"""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at.

    Attributes:
        level: ``ok``, ``note`` (to know), ``warning`` (to look into) or ``error`` (a promise does not hold).
        check: which check.
        message: what was found.
        fix: what to do, or ``None``.
    """

    level: Level
    check: str
    message: str
    fix: str | None = None

    def as_json(self) -> dict[str, str | None]:
        """The finding as a JSON object."""
        return {"level": self.level, "check": self.check, "message": self.message, "fix": self.fix}


def facts(connection: psycopg.Connection[Any]) -> list[str]:
    """Guards, policies, functions, grants and owners as sorted lines, the same on every server version."""
    # Definitions are written out as they look from outside of every schema.
    with connection.transaction():
        for setting, value in _NEUTRAL:
            connection.execute("select set_config(%s, %s, true)", (setting, value))
        rows = connection.execute(_FACTS).fetchall()
        for table in _VOCABULARY:
            if connection.execute("select has_table_privilege(%s, 'select')", (table,)).fetchone() == (True,):
                query = sql.SQL("select format('row of %s: %s', {}, to_jsonb(t)) from {} as t")
                name = sql.Identifier(*table.split("."))
                rows += connection.execute(query.format(sql.Literal(table), name)).fetchall()
    # Escaped, so that a fact is a line whatever it holds.
    return sorted(row[0].encode("unicode_escape").decode("ascii") for row in rows)


def fingerprint(lines: Sequence[str]) -> str:
    """A hash of the facts, to be kept elsewhere and compared."""
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def expected_facts() -> list[str]:
    """The facts of a fresh installation of the newest schema."""
    path = Path(__file__).resolve().parent.parent / "data" / "facts.txt"
    return path.read_text(encoding="utf-8").splitlines()


def examine(dsn: str | None = None, *, customers: Sequence[str] = ()) -> list[Finding]:
    """Looks at everything, as the login of the connection string; the DBA sees most.

    Args:
        dsn: a libpq connection string; ``None`` for ``AXIMO_DB_URL``, else libpq's own variables.
        customers: whose open executions to count, and whose newest executions to compare with their events.
    """
    with connect(dsn, of_catalog=True) as connection:
        found = list(_schema(connection))
        if any(finding.level == "error" for finding in found):
            return found
        for check in (
            _drift, _strangers, _roles, _neighbours, _access_map, _gateway, _timeouts, _database, _clock, _log, _metrics,
        ):  # fmt: skip
            found.extend(check(connection))
        for customer in customers:
            found.extend(_open_executions(connection, customer))
            found.extend(_execution_rows(connection, customer))
        return found


def _schema(connection: psycopg.Connection[Any]) -> Iterator[Finding]:
    row = connection.execute("select to_regprocedure('aximo.schema_version()') is not null").fetchone()
    if row is None or not row[0]:
        yield Finding("error", "schema", "The schema is not installed in this database.", "aximo-db migrate")
        return
    row = connection.execute("select aximo.schema_version()").fetchone()
    version = row[0] if row else None
    if version != HEAD_SCHEMA_VERSION:
        yield Finding(
            "error",
            "schema",
            f"The schema is at version {version}, this package is made for {HEAD_SCHEMA_VERSION}.",
            "aximo-db migrate, or upgrade the package",
        )
        return
    yield Finding("ok", "schema", f"The schema is at version {version}.")


def _drift(connection: psycopg.Connection[Any]) -> Iterator[Finding]:
    now = facts(connection)
    unread = tuple(
        f"row of {table}:" for table in _VOCABULARY if not any(line.startswith(f"row of {table}:") for line in now)
    )
    missing = sorted(line for line in set(expected_facts()) - set(now) if not line.startswith(unread))
    new = sorted(set(now) - set(expected_facts()))
    # What REINDEX CONCURRENTLY leaves behind when it is stopped.
    leftovers = [line for line in new if re.match(r"index \S+_cc(new|old)\d*: ", line)]
    for line in leftovers:
        name = line.split(" ")[1].rstrip(":")
        yield Finding(
            "warning", "drift", f"A REINDEX that was stopped left the index {name}.", f"drop index concurrently {name}"
        )
    new = [line for line in new if line not in leftovers]
    # The API's own functions may be granted to logins one by one, for one that only writes for example.
    granted = [line for line in new if _API_GRANT.match(line)]
    for line in granted:
        yield Finding("note", "grants", f"Beyond the group roles: {line}")
    strange = [line for line in new if line not in granted]
    for message in _differences(missing, strange):
        yield Finding("error", "drift", message, "Compare with sql/, and find out who did it.")
    if not missing and not strange:
        yield Finding("ok", "drift", "Guards, policies, functions and grants are as installed.")
    yield Finding("note", "fingerprint", f"Keep it elsewhere and compare: {fingerprint(now)}")


def _differences(missing: Sequence[str], strange: Sequence[str]) -> Iterator[str]:
    """What is gone, changed or new, by name; of what is changed, only the properties that differ."""
    now = {_thing(line): line for line in strange}
    for line in missing:
        thing = _thing(line)
        other = now.pop(thing, None) if thing is not None else None
        if other is None:
            yield f"Gone: {line}"
            continue
        was, is_ = (each[len(thing or "") + 2 :].split(", ") for each in (line, other))
        told = [
            ", ".join(part for part in these if part not in those) or "-" for these, those in ((is_, was), (was, is_))
        ]
        yield f"Changed: {thing}: now {told[0]}; as installed {told[1]}"
    left = set(now.values())
    yield from (f"Not part of the schema: {line}" for line in strange if _thing(line) is None or line in left)


def _thing(fact: str) -> str | None:
    """What a fact is about, if there is one fact of that kind about it: of grants there are several."""
    match = _ONE_FACT.match(fact)
    return match[1] if match is not None else None


def _strangers(connection: psycopg.Connection[Any]) -> Iterator[Finding]:
    """What others made around the schema: objects, views, event triggers, settings of roles and databases."""
    findings = list(_made_by_others(connection))
    yield from findings
    if not findings:
        yield Finding("ok", "strangers", "Nothing of others acts with the ledger's roles, or in every session.")


def _made_by_others(connection: psycopg.Connection[Any]) -> Iterator[Finding]:
    for role, kind, name in connection.execute(_ELSEWHERE, (list(GROUP_ROLES),)).fetchall():
        yield Finding(
            "warning", "strangers", f"The {kind} {name} belongs to {role} and is not the ledger's: it acts as that role.",
            "Give it to another owner, or drop it.",
        )  # fmt: skip
    for view, table, owner, is_copy, is_free in connection.execute(_VIEWS_OF_OTHERS).fetchall():
        what = (
            "keeps a copy of what it read, for everybody who may read the view"
            if is_copy
            else f"reads as {owner}, whom row-level security does not hold"
            if is_free
            else f"reads as {owner}"
        )
        yield Finding(
            "warning", "strangers", f"The view {view} of {owner} over {table} {what}.",
            "Let it read the views of schema aximo, each time.",
        )  # fmt: skip
    for name, owner, occasion, function in connection.execute(
        "select e.evtname, pg_get_userbyid(e.evtowner), e.evtevent, e.evtfoid::regproc::text from pg_event_trigger as e order by 1"
    ).fetchall():
        yield Finding(
            "warning", "strangers",
            f"The event trigger {name} of {owner} runs {function} at {occasion}, with the rights of whoever is there.",
            "Read it: it runs in migrations too.",
        )  # fmt: skip
    for role, setting in connection.execute(
        """
        select coalesce(r.rolname, 'every role'), s.setting
        from pg_db_role_setting as d
        left join pg_roles as r on r.oid = d.setrole
        cross join lateral unnest(d.setconfig) as s (setting)
        where d.setdatabase in (0, (select oid from pg_database where datname = current_database()))
            and split_part(s.setting, '=', 1) in ('session_replication_role', 'search_path', 'row_security', 'role')
        order by 1, 2
        """
    ).fetchall():
        yield Finding(
            "warning", "strangers", f"Sessions of {role} begin with {setting}.",
            "alter role … reset, or alter database … reset, unless it is meant: the ledger's own functions do not heed it.",
        )  # fmt: skip


def _roles(connection: psycopg.Connection[Any]) -> Iterator[Finding]:
    rows = connection.execute(
        """
        select r.rolname, r.rolsuper, r.rolbypassrls, r.rolcreaterole, r.rolcanlogin, r.rolname = any(%(groups)s) as is_group,
            r.rolreplication, r.oid = (select d.datdba from pg_database as d where d.datname = current_database()) as is_dba,
            array(
                select g.rolname::text
                from pg_roles as g
                where g.rolname = any(%(reaching)s) and pg_has_role(r.oid, g.oid, 'member')
                order by 1
            ) as reaches,
            array(
                select g.rolname::text
                from pg_roles as g
                where g.rolname = any(%(groups)s) and g.oid <> r.oid and pg_has_role(r.oid, g.oid, 'member')
                order by 1
            ) as groups
        from pg_roles as r
        where r.rolname !~ '^pg_'
        order by r.rolname
        """,
        {"groups": list(GROUP_ROLES), "reaching": list(_FAR_REACHING)},
    ).fetchall()
    problems = 0
    for name, is_super, bypasses, creates_roles, logs_in, is_group, replicates, is_dba, reaches, groups in rows:
        if is_group and (is_super or bypasses or creates_roles or logs_in):
            problems += 1
            yield Finding(
                "error", "roles", f"Group role {name} can log in, or has rights it must not have.",
                f"alter role {name} nologin nosuperuser nobypassrls nocreaterole",
            )  # fmt: skip
        if is_group or not logs_in:
            continue
        granted = connection.execute(
            "select count(*) from aximo_private.customer_grants where role_name = %s", (name,)
        ).fetchone() if _reads_access_map(connection) else None  # fmt: skip
        serves = bool(granted and granted[0])
        if (is_super or bypasses) and serves:
            problems += 1
            what = "superuser" if is_super else "BYPASSRLS"
            yield Finding(
                "warning", "roles", f"Login {name} works for customers and is {what}: row-level security does not hold for it.",
                "Give services and people logins of their own.",
            )  # fmt: skip
        if serves and not is_super and (reaches or replicates or (creates_roles and not is_dba)):
            problems += 1
            more = [
                *reaches,
                *(["REPLICATION"] if replicates else []),
                *(["CREATEROLE"] if creates_roles and not is_dba else []),
            ]
            yield Finding(
                "warning", "roles", f"Login {name} works for customers and has {', '.join(more)}: it reaches past their views.",
                "Give services and people logins of their own.",
            )  # fmt: skip
        owners = [group for group in groups if group in OWNING_ROLES]
        if owners and serves and not is_super and not is_dba:
            problems += 1
            yield Finding(
                "warning", "roles",
                f"Login {name} works for customers and can act as {', '.join(owners)}: it can change the schema.",
                f"revoke {', '.join(owners)} from {name}",
            )  # fmt: skip
        elif owners and not is_super:
            yield Finding("note", "roles", f"Login {name} can act as {', '.join(owners)}: it can change the schema.")
        elif creates_roles and not is_super and connection.info.server_version < 160000:
            problems += 1
            yield Finding(
                "warning", "roles",
                f"Login {name} has CREATEROLE, with which it can make itself a member of any role before PostgreSQL 16.",
                f"alter role {name} nocreaterole",
            )  # fmt: skip
    supers = [row[0] for row in rows if row[1] and row[4]]
    yield Finding("note", "roles", f"Superusers, whom nothing in the database stops: {', '.join(supers) or 'none'}.")
    if not problems:
        yield Finding("ok", "roles", "No service login is superuser or BYPASSRLS; the group roles can't log in.")


def _neighbours(connection: psycopg.Connection[Any]) -> Iterator[Finding]:
    """Other ledgers of the cluster: who may act as their owners may act as this one's, where he may connect."""
    row = connection.execute(_NEIGHBOURS, (list(OWNING_ROLES),)).fetchone()
    databases, logins = row or ([], [])
    if databases and logins:
        yield Finding(
            "warning", "neighbours",
            f"The group roles are shared with another ledger in this cluster, {', '.join(databases)}: whoever may act as its owner may"
            f" act as this one's, read and write here, as long as he may connect: {', '.join(logins)}.",
            "docs/hardening.sql lets in only logins of this ledger. Owners who don't trust each other need a cluster each.",
        )  # fmt: skip
    elif databases:
        yield Finding(
            "ok", "neighbours", f"Another ledger is in this cluster, {', '.join(databases)}; no other owner of it may connect here.",
        )  # fmt: skip
    else:
        yield Finding("ok", "neighbours", "No other database of this cluster uses the ledger's roles.")


def _reads_access_map(connection: psycopg.Connection[Any]) -> bool:
    row = connection.execute(
        "select has_schema_privilege('aximo_private', 'usage')"
        " and has_table_privilege('aximo_private.customer_grants', 'select')"
    ).fetchone()
    return bool(row and row[0])


def _access_map(connection: psycopg.Connection[Any]) -> Iterator[Finding]:
    if not _reads_access_map(connection):
        yield Finding("note", "access", "This login may not read the access map.", "Run doctor as the owner's login.")
        return
    rows = connection.execute(
        """
        select g.role_name, r.rolname is null as is_gone, bool_or(g.customer_id = '*') as has_all, count(*) as customers
        from aximo_private.customer_grants as g
        left join pg_roles as r on r.rolname = g.role_name
        group by 1, 2
        order by 1
        """
    ).fetchall()
    for name, is_gone, has_all, customers in rows:
        if is_gone:
            yield Finding(
                "warning", "access", f"Role {name} is gone and still has grants: a new login of that name would get them.",
                "select aximo.revoke_customer(role_name, customer_id) for each of them",
            )  # fmt: skip
        elif has_all:
            yield Finding("note", "access", f"Login {name} may work for every customer.")
        elif customers > 1:
            yield Finding("note", "access", f"Login {name} may work for {customers} customers, one a transaction.")
    differences = connection.execute(
        "select role_name, customer_id, is_granted from aximo_private.access_differences() order by 1, 2"
    ).fetchall()
    for name, customer, is_granted in differences:
        what = (
            "may work for {}, and no grant is in the history" if is_granted else "was granted {}, and is not in the map"
        )
        yield Finding(
            "warning", "access", f"Login {name} {what.format(customer)}: somebody changed the access map past its functions.",
            "Find out who; then aximo.revoke_customer, or aximo.grant_customer, makes it right from now on.",
        )  # fmt: skip
    yield Finding("ok", "access", f"{len(rows)} logins have customers.")


def _timeouts(connection: psycopg.Connection[Any]) -> Iterator[Finding]:
    """Logins of customers that may keep something open for as long as they like."""
    if not _reads_access_map(connection):
        return
    missing: dict[str, list[str]] = {}
    for login, name, value in connection.execute(
        _TIMEOUTS_SET, {"names": list(_TIMEOUTS), "owners": list(OWNING_ROLES)}
    ).fetchall():
        if re.match(r"0*\D*$", value):
            missing.setdefault(login, []).append(name)
    for login, names in missing.items():
        yield Finding(
            "note", "timeouts", f"Login {login} has no {', '.join(names)}: a transaction that it leaves open keeps rows and holes remembered.",
            "; ".join(f"alter role {login} set {name} = '…'" for name in names),
        )  # fmt: skip
    if not missing:
        yield Finding("ok", "timeouts", "Logins with customers can't leave a transaction open for ever.")


def _gateway(connection: psycopg.Connection[Any]) -> Iterator[Finding]:
    """Tables in schema helix that are a gateway's own: as it makes them, they do not say whose a row is."""
    tables = [
        row[0]
        for row in connection.execute(
            "select c.relname from pg_class as c inner join pg_namespace as n on n.oid = c.relnamespace"
            " where n.nspname = 'helix' and c.relkind = 'r' and c.relname = any(%s)"
            " and not (c.relrowsecurity and c.relforcerowsecurity) order by 1",
            (list(GATEWAY_TABLES),),
        )
    ]
    if not tables or not _reads_access_map(connection):
        return
    rows = connection.execute(
        """
        select g.role_name, array_agg(g.customer_id)
        from aximo_private.customer_grants as g
        inner join pg_roles as r on r.rolname = g.role_name
        where not r.rolsuper and exists (
            select from pg_class as c
            where c.relnamespace = 'helix'::regnamespace and c.relkind = 'r' and c.relname = any(%s)
                and not pg_has_role(r.oid, c.relowner, 'member')
                and (
                    has_table_privilege(r.oid, c.oid, 'select, insert, update, delete')
                    or has_any_column_privilege(r.oid, c.oid, 'select, insert, update')
                )
        )
        group by 1
        order by 1
        """,
        (tables,),
    ).fetchall()
    customers = {customer for _, granted in rows for customer in granted}
    if len(customers) > 1 or "*" in customers:
        yield Finding(
            "note", "gateway",
            f"The gateway's own tables in schema helix ({', '.join(tables)}) are not isolated by customer: every login that may"
            f" use them sees all of them, and those are of more than one customer: {', '.join(row[0] for row in rows)}.",
            "As the tables' owner: select helix.isolate_gateway_tables(). Or give each customer's gateway a database of its own.",
        )  # fmt: skip
    else:
        yield Finding("ok", "gateway", "The gateway's own tables in schema helix serve one customer at most.")


def _database(connection: psycopg.Connection[Any]) -> Iterator[Finding]:
    major, minor = divmod(connection.info.server_version, 10000)
    if minor < SAFE_MINORS.get(major, 0):
        yield Finding(
            "warning", "server", f"PostgreSQL {major}.{minor} lacks the fix of CVE-2026-14680.",
            f"Upgrade to {major}.{SAFE_MINORS[major]} or later.",
        )  # fmt: skip
    questions: list[tuple[str, Level, str, str]] = [
        (
            "select has_schema_privilege('public', 'public', 'create') from pg_namespace where nspname = 'public'",
            "note",
            "Everybody may create objects in schema public.",
            "revoke create on schema public from public",
        ),
        (
            "select has_database_privilege('public', current_database(), 'temp')",
            "note",
            "Everybody may make temporary tables in this database.",
            "revoke temporary on database … from public, if nothing else in it needs them",
        ),
        (
            "select current_setting('session_replication_role') <> 'origin'",
            "error",
            "session_replication_role is not origin: ordinary triggers and foreign keys do not fire.",
            "Find out where it is set: pg_db_role_setting, or the server's configuration.",
        ),
        (
            "select exists (select from pg_parameter_acl where parname = 'session_replication_role')",
            "warning",
            "A role was granted to set session_replication_role.",
            "revoke set on parameter session_replication_role from …",
        ),
        (
            "select exists (select from pg_prepared_xacts where database = current_database() and prepared < now() - interval '1 hour')",
            "warning",
            "A prepared transaction is older than an hour: it holds its rows' places.",
            "commit prepared or rollback prepared",
        ),
        (
            "select exists (select from pg_publication_tables where schemaname in ('aximo_private', 'helix'))",
            "note",
            "A publication sends the ledger's tables: row-level security does not hold for its subscribers.",
            "Use row filters by customer.",
        ),
        (
            "select current_setting('random_page_cost')::float > 2",
            "note",
            "random_page_cost is that of a disk with moving parts: pages of a customer's rows may be sorted, not read off an index.",
            "alter database … set random_page_cost = 1.1, if it lies on anything else",
        ),
        (
            "select not current_setting('fsync')::boolean",
            "warning",
            "fsync is off: a crash can lose acknowledged events.",
            "Set fsync = on.",
        ),
        (
            "select current_setting('synchronous_commit') = 'off'",
            "warning",
            "synchronous_commit is off: a crash can lose the last acknowledged events.",
            "Set synchronous_commit = on for the logins that emit.",
        ),
    ]
    clean = True
    for question, level, message, fix in questions:
        row = connection.execute(question).fetchone()
        if row and row[0]:
            clean = clean and level == "note"
            yield Finding(level, "server", message, fix)
    if clean:
        yield Finding("ok", "server", f"PostgreSQL {major}.{minor}, set up to keep what it acknowledges.")
    yield Finding(
        "note", "backup",
        "A backup by pg_dump needs a role with BYPASSRLS or a superuser: as the owner, with --enable-row-security, it would be empty.",
    )  # fmt: skip


def _clock(connection: psycopg.Connection[Any]) -> Iterator[Finding]:
    before = datetime.now(UTC)
    row = connection.execute("select extract(epoch from clock_timestamp())::double precision").fetchone()
    after = datetime.now(UTC)
    if row is None:
        return
    here = before + (after - before) / 2
    skew = abs(row[0] - here.timestamp())
    if skew > 1 + (after - before).total_seconds():
        yield Finding(
            "warning", "clock", f"The database's clock and this machine's differ by {skew:.1f} s.",
            "Synchronise the clocks: timestamps come from the emitters, recorded_at from the database.",
        )  # fmt: skip
    else:
        yield Finding("ok", "clock", "The database's clock and this machine's agree.")


def _metrics(connection: psycopg.Connection[Any]) -> Iterator[Finding]:
    try:
        row = connection.execute(
            "select s.refreshed_at is null, s.refreshed_at < now() - interval '1 day' and s.refreshed_at < l.advanced_at,"
            " exists (select from aximo_private.log_entries), ("
            " select coalesce(sum(g.size - g.number), 0) from ("
            " select max(u.number) as size, coalesce(c.number, 0) as number from aximo_private.uncounted_logs as u"
            " left join aximo_private.counted_logs as c on c.customer_id = u.customer_id and c.log = u.log"
            " where c.failed_at is null group by u.customer_id, u.log, c.number"
            " ) as g where g.size > g.number), ("
            " select coalesce(sum(h.size - coalesce(c.number, 0)), 0)"
            " from (select e.customer_id, e.log, max(e.number) as size from aximo_private.log_entries as e group by 1, 2) as h"
            " left join aximo_private.counted_logs as c on c.customer_id = h.customer_id and c.log = h.log"
            " where not exists (select from aximo_private.uncounted_logs as u"
            " where u.customer_id = h.customer_id and u.log = h.log and u.number >= h.size)),"
            " array(select distinct c.customer_id from aximo_private.counted_logs as c where c.failed_at is not null order by 1)"
            " from aximo_private.metric_state as s, aximo_private.log_state as l"
        ).fetchone()
    except psycopg.errors.InsufficientPrivilege:
        yield Finding(
            "note",
            "metrics",
            "This login can't see how far metrics are counted.",
            "Run doctor as the installing login.",
        )
        return
    if row is None:
        yield Finding(
            "error", "metrics", "The state of the metrics is missing: they can't be refreshed.",
            "Restore the row of aximo_private.metric_state from the backup.",
        )  # fmt: skip
        return
    never, is_old, numbered, waiting, forgotten, failed = row
    if failed:
        yield Finding(
            "warning", "metrics",
            f"Events of {len(failed)} customers can't be counted, so their metrics stand still: {', '.join(failed[:5])}"
            + (" and others." if len(failed) > 5 else "."),
            "aximo-db refresh --recount; if it is said again then, report what they wrote.",
        )  # fmt: skip
    if forgotten:
        yield Finding(
            "warning", "metrics", f"{forgotten:,} numbered events are not counted in the metrics.",
            "aximo-db refresh --recount",
        )  # fmt: skip
    elif numbered and (never or is_old):
        yield Finding(
            "note", "metrics", "Metrics were " + ("never refreshed." if never else "last refreshed more than a day ago."),
            "Run aximo-db refresh from cron, if anybody looks at them.",
        )  # fmt: skip
    elif not failed:
        yield Finding(
            "ok", "metrics", f"{waiting:,} numbered events wait for the next refresh." if waiting else "Every numbered event is counted in the metrics.",
        )  # fmt: skip


def _log(connection: psycopg.Connection[Any]) -> Iterator[Finding]:
    try:
        row = connection.execute(
            "select extract(epoch from now() - s.advanced_at)::bigint, pg_relation_size('aximo_private.log_entries') > 0,"
            " (select coalesce(max(l.high_position), 0) from aximo_private.logs as l)"
            " from aximo_private.log_state as s"
        ).fetchone()
        logs = connection.execute(_LOGS).fetchall()
    except psycopg.errors.InsufficientPrivilege:
        yield Finding(
            "note", "log", "This login can't see how far the numbering is.", "Run doctor as the installing login."
        )
        return
    gone = ["log_state"] if row is None else []
    if any(high is None for _, _, high, *_ in logs):
        gone.append("logs")
    if row is None or gone:
        yield Finding(
            "error", "log", "The log's state is missing: nothing can be numbered.",
            f"Restore the rows of {' and '.join('aximo_private.' + table for table in gone)} from the backup.",
        )  # fmt: skip
        return
    seconds, numbered, highest = row
    age = None if seconds is None else timedelta(seconds=seconds)
    if (numbered and highest == 0) or any(is_new for *_, is_new in logs):
        yield Finding(
            "error", "log", "The log's state does not belong to its entries, so nothing can be numbered.",
            "Restore the rows of aximo_private.log_state and aximo_private.logs from the same backup as the entries.",
        )  # fmt: skip
        return
    for log, sequence, high, last, holes, _ in logs:
        if last < high:
            yield Finding(
                "error", "log", f"The sequence of positions is behind the log {log}: new events would be passed over.",
                f"As superuser: select setval('{sequence}', {high}); then aximo-db verify --log {log} --mend.",
            )  # fmt: skip
        elif last - high > _FAR_BEHIND or (last > high and (age is None or age > timedelta(hours=1))):
            since = "never" if age is None else f"{age.total_seconds() / 3600:.1f} hours ago"
            yield Finding(
                "warning", "log",
                f"About {last - high:,} events have no number yet in the log {log}; numbered last: {since}.",
                "Run aximo-db advance from cron, or with --follow.",
            )  # fmt: skip
        else:
            yield Finding("ok", "log", f"Numbering of the log {log} is at most {last - high:,} events behind.")
        if holes > _MANY_HOLES:
            yield Finding(
                "warning", "log",
                f"{holes:,} gaps are remembered in the log {log}, which makes numbering slower: a transaction has been open for long.",
                "Find it in pg_stat_activity (backend_xid is not null) or pg_prepared_xacts, of any database, and end it.",
            )  # fmt: skip


def _open_executions(connection: psycopg.Connection[Any], customer: str) -> Iterator[Finding]:
    with connection.transaction():
        connection.execute(statements.SET_CUSTOMER, (customer,))
        row = connection.execute(
            "select count(*), extract(epoch from max(idle))::bigint from aximo.open_executions where idle > interval '1 hour'"
        ).fetchone()
    if row and row[0]:
        yield Finding(
            "warning", "open executions", f"{customer}: {row[0]} executions have been open and idle for over an hour; the longest for {timedelta(seconds=row[1])}.",
            "select * from aximo.close_stale_executions('…')",
        )  # fmt: skip
    else:
        yield Finding("ok", "open executions", f"{customer}: none is idle for over an hour.")


def _execution_rows(connection: psycopg.Connection[Any], customer: str) -> Iterator[Finding]:
    with connection.transaction():
        connection.execute(statements.SET_CUSTOMER, (customer,))
        row = connection.execute(
            "select count(*), min(v.execution_id), (select count(*) from aximo.executions)"
            " from aximo.verify_executions(%s) as v",
            (_NEWEST,),
        ).fetchone()
    wrong, execution, stored = row or (0, None, 0)
    if wrong:
        yield Finding(
            "error", "execution rows", f"{customer}: rows are not what their events say, of execution {execution} for one.",
            "aximo-db verify --customer … names all of them; with --repair it makes them anew. Find out who changed them.",
        )  # fmt: skip
    else:
        yield Finding(
            "ok",
            "execution rows",
            f"{customer}: the newest {min(_NEWEST, stored):,} of {stored:,} executions are what their events say.",
        )
