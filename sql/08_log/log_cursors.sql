-- How far a consumer of a customer's log has come.
create table aximo_private.log_cursors (
    customer_id text collate "C" not null,
    log text collate "C" not null,
    name aximo_private.identifier not null,
    number bigint not null default 0,
    moved_at timestamptz not null default clock_timestamp(),
    moved_by text collate "C" not null default session_user,
    constraint log_cursors_pkey primary key (customer_id, log, name),
    constraint number_not_negative check (number >= 0),
    constraint log_known check (log in ('events', 'run_events'))
);
select aximo_private.isolate_by_customer('aximo_private.log_cursors', 'owner_reads_own_cursors');
create policy sequencer_keeps_own_cursors on aximo_private.log_cursors
for all to aximo_sequencer
using (customer_id = (select aximo.current_customer())) with check (customer_id = (select aximo.current_customer()));
comment on table aximo_private.log_cursors is 'How far each consumer has come. Moved by aximo.move_cursor only.';
comment on column aximo_private.log_cursors.customer_id is 'Whose log.';
comment on policy sequencer_keeps_own_cursors on aximo_private.log_cursors is 'The cursor functions run as this role, for the session''s customer.';
