-- Whose each run_id is. helix.runs has them unique among all customers, and INSERT ... ON CONFLICT DO UPDATE ... WHERE locks the row that
-- is there, and may look at it, before its policies are asked. A guard looks here before it comes to that; a row here makes it race-free.
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

comment on table aximo_private.run_ids is 'Whose each run_id is: append-only. A run that was deleted keeps its own.';
comment on column aximo_private.run_ids.run_id is 'The run.';
comment on column aximo_private.run_ids.customer_id is 'Whose it is, or was.';
comment on policy recorder_reads_run_ids on aximo_private.run_ids is 'The guard of runs.';
comment on policy recorder_adds_run_ids on aximo_private.run_ids is 'The guard of runs, for a customer that the access map gave.';
