-- What "aximo-db move" asks both nodes, and does there. Each statement begins with its name.

-- name: node
-- What a node is, and what it has room for.
select
    current_setting('server_version_num')::integer as version,
    current_setting('wal_level') as wal_level,
    current_setting('max_replication_slots')::integer - (select count(*) from pg_replication_slots) as free_slots,
    current_setting('max_wal_senders')::integer - (select count(*) from pg_stat_replication) as free_senders,
    current_setting('max_logical_replication_workers')::integer - (select count(*) from pg_stat_subscription where pid is not null)
        as free_workers;

-- name: rights
-- What a login may do that a move needs: the session's own, or the one of that name. Of a role, by membership, whether it is used as one's own.
-- Roles that a version does not have are nobody's. All of it is told by the catalog, which everybody may read.
select
    current_setting('server_version_num')::integer as version,
    r.rolname = session_user as is_own,
    format('%%I', r.rolname) as login,
    quote_literal(r.rolname) as quoted,
    format('%%I', current_database()) as database,
    r.rolsuper as is_superuser,
    r.rolreplication as replicates,
    r.rolbypassrls as passes_security,
    r.rolinherit as inherits,
    array(
        select w.name
        from unnest(array['aximo_owner', 'aximo_sequencer', 'pg_read_all_stats', 'pg_create_subscription']) with ordinality as w (name, place)
        left join pg_roles as g on g.rolname = w.name
        where g.oid is null or not pg_has_role(r.oid, g.oid, 'usage')
        order by w.place
    ) as lacks,
    has_database_privilege(r.oid, current_database(), 'create') as creates,
    not exists (
        select from pg_trigger as t where t.tgname = 'take_arriving' and not has_table_privilege(r.oid, t.tgrelid, 'select')
    ) as reads_tables
from pg_roles as r
where r.rolname = coalesce(%(login)s, session_user);

-- name: owned_by_others
-- What there is of this move that the login may not change.
select format('publication %%s of login %%s', p.pubname, pg_get_userbyid(p.pubowner))
from pg_publication as p
where p.pubname = any(%(names)s) and not pg_has_role(p.pubowner, 'usage')
union all
select format('subscription %%s of login %%s', s.subname, pg_get_userbyid(s.subowner))
from pg_subscription as s
where s.subname = any(%(names)s) and s.subdbid = (select d.oid from pg_database as d where d.datname = current_database())
    and not pg_has_role(s.subowner, 'usage')
order by 1;

-- name: lock_rights
-- Of all moves, one at a time gives itself rights and takes them back. It ends with the transaction.
select pg_advisory_xact_lock(hashtextextended('aximo_move', 0));

-- name: subscribes
-- Whether a move of a login's is under way to this node.
select exists (
    select from pg_subscription as s
    where s.subname like 'aximo\_move\_%%' and s.subowner = %(login)s::regrole
        and s.subdbid = (select d.oid from pg_database as d where d.datname = current_database())
);

-- name: node_is_ledger
-- Told by the catalog, which everybody may read.
select exists (
    select from pg_class as c where c.relname = 'placements' and c.relnamespace = (select n.oid from pg_namespace as n where n.nspname = 'aximo_private')
);

-- name: fleet
-- Which node of which fleet it is, its schema, and whether the login works for all customers.
select
    s.ledger, s.node, aximo.schema_version() as schema_version,
    exists (
        select from aximo_private.customer_grants as g where g.role_name = session_user::text and g.customer_id = '*'
    ) as has_all
from aximo_private.log_state as s;

-- name: tables
-- The tables that move: those with the trigger, in order. Whether rows are only added to it, and what columns it has.
select
    format('%%I.%%I', n.nspname, c.relname) as name,
    exists (select from pg_trigger as a where a.tgrelid = c.oid and a.tgname = 'append_only_row') as is_kept,
    (
        select string_agg(format('%%s %%s', a.attname, format_type(a.atttypid, a.atttypmod)), ', ' order by a.attname)
        from pg_attribute as a
        where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    ) as columns
from pg_trigger as t
inner join pg_class as c on c.oid = t.tgrelid
inner join pg_namespace as n on n.oid = c.relnamespace
where t.tgname = 'take_arriving'
order by 1;

-- name: settings
-- The settings of all customers: they do not move, and have to be the same.
select array(
    select concat_ws(' ', t.metric, t.level, coalesce(t.deployment_id::text, '*'), coalesce(t.value::text, 'none'), 'from', t.effective_from at time zone 'UTC')
    from aximo_private.thresholds as t
    where t.customer_id = '*'
    order by t.effective_from, t.set_at, 1
) || array(
    select concat_ws(' ', l.list, coalesce(l.items::text, 'none'), 'from', l.effective_from at time zone 'UTC')
    from aximo_private.metric_lists as l
    where l.customer_id = '*'
    order by l.effective_from, l.set_at, 1
);

-- name: grants
-- Who may work for the customer.
select g.role_name, g.customer_id
from aximo_private.customer_grants as g
where g.customer_id in (%(customer)s, '*')
order by 1, 2;

-- name: roles
-- Which of these logins there are, and which of the ledger's roles each has: from PostgreSQL 16 on, not those that it may only pass on.
select l.rolname::text as login, array(
    select r.rolname::text
    from pg_auth_members as m
    inner join pg_roles as r on r.oid = m.roleid
    where m.member = l.oid and r.rolname like 'aximo\_%%'
        and coalesce((to_jsonb(m) ->> 'inherit_option')::boolean or (to_jsonb(m) ->> 'set_option')::boolean, true)
    order by 1
) as roles
from pg_roles as l
where l.rolname = any(%(logins)s);

-- name: placement
select p.state, p.node, p.was_here, p.since, extract(epoch from clock_timestamp() - p.since)::double precision as seconds
from aximo_private.placements as p
where p.customer_id = %(customer)s;

-- name: has_something
-- Whether there is anything of the customer that a move would have brought, or that would stand in its way.
select exists (select from aximo_private.events as e where e.customer_id = %(customer)s)
    or exists (select from helix.runs as r where r.customer_id = %(customer)s)
    or exists (select from aximo_private.log_entries as l where l.customer_id = %(customer)s);

-- name: run_ids
select r.run_id from aximo_private.run_ids as r where r.customer_id = %(customer)s;

-- name: taken_run_ids
select r.run_id from aximo_private.run_ids as r where r.run_id = any(%(run_ids)s) and r.customer_id <> %(customer)s order by 1 limit 5;

-- name: open_runs
select count(*)
from helix.runs as r
where r.customer_id = %(customer)s and r.status in ('queued', 'running')
    and exists (select from helix.run_events as e where e.customer_id = r.customer_id and e.run_id = r.run_id);

-- name: lock
-- Nobody else moves this customer meanwhile. It ends with the session.
select pg_try_advisory_lock(hashtextextended(%(name)s, 0));

-- name: place
select aximo.place_customer(%(state)s, %(node)s, %(checkpoints)s);

-- name: running
-- The transactions that may have written, or still see the customer as it was: a transaction that has no id and no snapshot
-- takes a new one for its next statement. Prepared ones belong to no session.
select l.virtualxid, a.pid, format(
    'process %%s, login %%s, %%s, since %%s', a.pid, a.usename, coalesce(nullif(a.application_name, ''), 'no application_name'),
    a.xact_start
)
from pg_stat_activity as a
inner join pg_locks as l on l.pid = a.pid and l.locktype = 'virtualxid' and l.mode = 'ExclusiveLock'
where a.datname = current_database() and a.pid <> pg_backend_pid() and (a.backend_xid is not null or a.backend_xmin is not null)
    and a.backend_type in ('client backend', 'background worker')
union all
select format('prepared %%s', p.transaction), 0, format('prepared transaction %%s, of %%s, since %%s', p.gid, p.owner, p.prepared)
from pg_prepared_xacts as p
where p.database = current_database();

-- name: still_running
select r.name
from unnest(%(names)s::text[]) as r (name)
where exists (select from pg_locks as l where l.locktype = 'virtualxid' and l.virtualxid = r.name)
    or exists (select from pg_prepared_xacts as p where format('prepared %%s', p.transaction) = r.name);

-- name: publications
select p.pubname::text from pg_publication as p where p.pubname = any(%(names)s);

-- name: slot
select s.active_pid, s.wal_status, s.database = current_database() from pg_replication_slots as s where s.slot_name = %(name)s;

-- name: is_read
-- Whether somebody reads from the slot, or copies a table beside it.
select exists (
    select from pg_replication_slots as s
    where s.active and s.database = current_database() and (s.slot_name = %(name)s or s.slot_name like 'pg\_%%\_sync\_%%')
);

-- name: make_slot
select pg_create_logical_replication_slot(%(name)s, 'pgoutput');

-- name: drop_slot
select pg_drop_replication_slot(s.slot_name) from pg_replication_slots as s where s.slot_name = %(name)s;

-- name: end_sender
-- One of a login whose processes the mover may not end ends by itself, when the target's server is gone.
select pg_terminate_backend(s.active_pid)
from pg_replication_slots as s
inner join pg_stat_activity as a on a.pid = s.active_pid
where s.slot_name = %(name)s and pg_has_role(a.usesysid, 'usage');

-- name: subscription
select s.subenabled, s.subslotname::text, quote_ident(pg_get_userbyid(s.subowner)) as owner
from pg_subscription as s
where s.subname = %(name)s and s.subdbid = (select d.oid from pg_database as d where d.datname = current_database());

-- name: copied
-- How many tables there are, how many are up to date, and how much of those under way is copied.
select
    count(*) as tables, count(*) filter (where r.srsubstate = 'r') as ready, coalesce(sum(p.tuples_processed), 0)::bigint as rows,
    (
        select coalesce(sum(f.apply_error_count + f.sync_error_count), 0)::bigint
        from pg_stat_subscription_stats as f
        where f.subname = %(name)s
    ) as errors
from pg_subscription as s
inner join pg_subscription_rel as r on r.srsubid = s.oid
left join pg_stat_progress_copy as p on p.relid = r.srrelid and p.datname = current_database()
where s.subname = %(name)s;

-- name: position
select pg_current_wal_lsn()::text;

-- name: behind
-- How many bytes the other node has not applied up to a position; null if nobody reads from the slot, or who reads has not said yet how far it is.
-- The latter is no null to greatest(), which leaves nulls out.
select greatest(pg_wal_lsn_diff(%(position)s::pg_lsn, r.replay_lsn), 0)::bigint
from pg_replication_slots as s
inner join pg_stat_replication as r on r.pid = s.active_pid
where s.slot_name = %(name)s and r.replay_lsn is not null;

-- name: forget_placement
-- In a transaction that is rolled back: a node tells its logs' checkpoints also while the customer is hidden there.
delete from aximo_private.placements as p where p.customer_id = %(customer)s;

-- name: checkpoints
select array[
    aximo.checkpoint_text(aximo.log_size('events'), 'events'), aximo.checkpoint_text(aximo.log_size('run_events'), 'run_events')
];

-- name: checkpoints_at
select array[aximo.checkpoint_text(%(events)s, 'events'), aximo.checkpoint_text(%(run_events)s, 'run_events')];

-- name: sizes
-- How many entries of each log are there, if none is missing.
select
    coalesce(max(l.number) filter (where l.log = 'events'), 0) as events,
    coalesce(max(l.number) filter (where l.log = 'run_events'), 0) as run_events
from (
    (select 'events' as log, n.number from aximo_private.log_entries as n where n.customer_id = %(customer)s and n.log = 'events' order by n.number desc limit 1)
    union all
    (select 'run_events', n.number from aximo_private.log_entries as n where n.customer_id = %(customer)s and n.log = 'run_events' order by n.number desc limit 1)
) as l;

-- name: wrong_leaf
-- The first entry of a piece of a log that its event does not make.
select g.number
from generate_series(%(first)s::bigint, %(last)s::bigint) as g (number)
left join lateral (
    select l.leaf, l.event_id, l.run_event_id
    from aximo_private.log_entries as l
    where l.customer_id = %(customer)s and l.log = %(log)s and l.number = g.number
    offset 0
) as n on true
left join lateral (
    select aximo_private.event_line(s.*) as line
    from aximo_private.events as s
    where s.customer_id = %(customer)s and s.event_id = n.event_id
    union all
    select aximo_private.run_event_line(r.*) as line
    from helix.run_events as r
    where r.customer_id = %(customer)s and r.event_id = n.run_event_id
    offset 0
) as e on true
where n.leaf is distinct from sha256(decode('00', 'hex') || convert_to(e.line, 'UTF8'))
order by g.number
limit 1;

-- name: wrong_node
-- The first subtree whose entries end in a piece of a log, and whose hash does not follow from them.
select format('level %%s, index %%s', v.level, b.index)
from (
    select h.level, (256::numeric ^ h.level)::bigint as width from generate_series(1, 6) as h (level)
) as v
cross join lateral generate_series((%(first)s::bigint - 1) / v.width, %(last)s::bigint / v.width - 1) as b (index)
left join lateral (
    select k.hash
    from aximo_private.log_nodes as k
    where k.customer_id = %(customer)s and k.log = %(log)s and k.level = v.level and k.index = b.index
    offset 0
) as n on true
where n.hash is distinct from aximo.tree_hash(aximo_private.hashes_below(%(customer)s, %(log)s, v.level::integer, b.index))
order by v.level, b.index
limit 1;

-- name: note_uncounted
-- Lets what has arrived be counted before the customer is opened.
select aximo_private.note_uncounted(array[row(%(customer)s, 0, %(size)s)::aximo_private.log_growth], %(log)s);

-- name: clear_state
-- What stayed here since the customer left, and may have been deleted on the other node. All of it comes again.
with
gone_cursors as (delete from aximo_private.log_cursors as c where c.customer_id = %(customer)s),
gone_approvals as (delete from aximo_private.approvals as a where a.customer_id = %(customer)s),
gone_executions as (delete from aximo_private.executions as x where x.customer_id = %(customer)s)
delete from helix.runs as r
where r.customer_id = %(customer)s
    and not exists (select from helix.run_events as e where e.customer_id = r.customer_id and e.run_id = r.run_id);

-- name: state_sums
-- What can be told quickly of rows that change.
select jsonb_build_object(
    'executions', (
        select jsonb_build_array(
            count(*), sum(x.steps), count(x.ended_at), sum(x.open_approvals), sum(x.actions_dispatched),
            extract(epoch from max(x.last_event_at))
        )
        from aximo_private.executions as x
        where x.customer_id = %(customer)s
    ),
    'approvals', (
        select jsonb_build_array(count(*), count(*) filter (where a.decision = 'open'), count(a.decision_event_id))
        from aximo_private.approvals as a
        where a.customer_id = %(customer)s
    ),
    'cursors', (
        select jsonb_agg(jsonb_build_array(c.log, c.name, c.number) order by c.log, c.name)
        from aximo_private.log_cursors as c
        where c.customer_id = %(customer)s
    ),
    'runs', (
        select jsonb_build_array(
            count(*), count(*) filter (where r.status = 'queued'), count(*) filter (where r.status = 'running'),
            count(*) filter (where r.status = 'succeeded'), count(*) filter (where r.status = 'failed'), count(r.execution_id)
        )
        from helix.runs as r
        where r.customer_id = %(customer)s
    )
);
