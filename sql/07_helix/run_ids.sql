-- Says which customer each run_id belongs to. A run_id is unique among all customers, and INSERT ... ON CONFLICT DO UPDATE ... WHERE locks
-- and may read the existing row before policies are checked. A trigger looks here before that; the row that it adds makes this safe for two
-- at once.
create table aximo_private.run_ids (
    run_id text collate "C" not null,
    customer_id text collate "C" not null,
    constraint run_ids_pkey primary key (run_id),
    constraint run_id_length check (char_length(run_id) <= 255)
);
select aximo_private.isolate_by_customer('aximo_private.run_ids');
create policy recorder_reads_run_ids on aximo_private.run_ids for select to aximo_recorder using (true);
create policy recorder_adds_run_ids on aximo_private.run_ids for insert to aximo_recorder with check (true);
select aximo_private.make_append_only('aximo_private.run_ids');
comment on table aximo_private.run_ids is 'Which customer each run_id belongs to: append-only. The row of a deleted run stays.';
comment on column aximo_private.run_ids.run_id is 'The run.';
comment on column aximo_private.run_ids.customer_id is 'Whose it is, or was.';
comment on policy recorder_reads_run_ids on aximo_private.run_ids is 'The guard of runs.';
comment on policy recorder_adds_run_ids on aximo_private.run_ids is 'The guard of runs, for a customer that the access map gave.';
