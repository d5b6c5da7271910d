-- Hashes of the complete subtrees of 256, 65536, … entries. These are C2SP's tiles, without the partial ones, one row a hash.
create table aximo_private.log_nodes (
    index bigint not null,
    level bigint not null,
    log text collate "C" not null,
    customer_id text collate "C" not null,
    hash bytea not null,
    constraint log_nodes_pkey primary key (customer_id, log, level, index)
);
select aximo_private.isolate_by_customer('aximo_private.log_nodes', 'owner_reads_own_log_nodes');
create policy sequencer_reads_log_nodes on aximo_private.log_nodes for select to aximo_sequencer using (true);
create policy sequencer_adds_log_nodes on aximo_private.log_nodes for insert to aximo_sequencer with check (true);
select aximo_private.make_append_only('aximo_private.log_nodes');
comment on table aximo_private.log_nodes is 'Hashes of complete subtrees of the log, so that a proof reads a few hundred hashes of any log.';
comment on column aximo_private.log_nodes.customer_id is 'Whose log it is.';
comment on policy sequencer_reads_log_nodes on aximo_private.log_nodes is 'A level is made of the one below.';
comment on policy sequencer_adds_log_nodes on aximo_private.log_nodes is 'aximo.advance_log runs as this role.';
