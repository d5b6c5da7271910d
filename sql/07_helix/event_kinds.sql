create table helix.event_kinds (
    kind text collate "C" not null,
    version bigint not null default 1,
    family text collate "C" not null,
    state text collate "C",
    origin text not null,
    meaning text not null,
    constraint event_kinds_pkey primary key (kind, version),
    constraint kind_version_positive check (version > 0),
    constraint family_known check (family in ('run', 'exec', 'slurm', 'collect', 'simulate', 'studio')),
    constraint state_known check (state in ('started', 'queued', 'running', 'succeeded', 'failed', 'blocked'))
);

insert into helix.event_kinds (kind, family, state, origin, meaning) values
('run.started', 'run', 'started', 'HelixMCP Events v1 (v0.9.0)', 'The run began. data: now, params_hash, policy_hash.'),
('run.queued', 'run', 'queued', 'HelixMCP Events v1 (v0.9.0)', 'It waits to be run.'),
('run.running', 'run', 'running', 'HelixMCP Events v1 (v0.9.0)', 'It runs.'),
('run.succeeded', 'run', 'succeeded', 'HelixMCP Events v1 (v0.9.0)', 'It ended well.'),
('run.failed', 'run', 'failed', 'HelixMCP Events v1 (v0.9.0)', 'It ended with an error. data: error.'),
('run.blocked', 'run', 'blocked', 'HelixMCP Events v1 (v0.9.0)', 'A policy forbade it. data: error.'),
('exec.plan', 'exec', null, 'HelixMCP Events v1 (v0.9.0)', 'What is going to be executed, and where.'),
('exec.result', 'exec', null, 'HelixMCP Events v1 (v0.9.0)', 'What came of it.'),
('slurm.submit.plan', 'slurm', null, 'HelixMCP Events v1 (v0.9.0)', 'What is going to be submitted to Slurm.'),
('slurm.submit.script_artifact', 'slurm', null, 'HelixMCP Events v1 (v0.9.0)', 'The batch script was kept as an artifact.'),
('slurm.submit.ok', 'slurm', null, 'HelixMCP Events v1 (v0.9.0)', 'Slurm took the job.'),
('slurm.collect.start', 'slurm', null, 'HelixMCP Events v1 (v0.9.0)', 'Another run began to collect the job''s outputs.'),
('slurm.collect.outputs_registered', 'slurm', null, 'HelixMCP Events v1 (v0.9.0)', 'The outputs were kept as artifacts.'),
('slurm.collect.done', 'slurm', 'succeeded', 'HelixMCP Events v1 (v0.9.0)', 'The job''s outputs were collected, and it had ended well.'),
('slurm.collect.failed', 'slurm', 'failed', 'HelixMCP Events v1 (v0.9.0)', 'The job''s outputs were collected, and it had failed.'),
('simulate.qc', 'simulate', null, 'HelixMCP Events v1 (v0.9.0)', 'Quality control was simulated.'),
('simulate.align', 'simulate', null, 'HelixMCP Events v1 (v0.9.0)', 'An alignment was simulated.'),
-- Kinds that only the published gateway writes.
('exec.step', 'exec', null, 'HelixMCP gateway', 'A step of what is executed.'),
('collect.plan', 'collect', null, 'HelixMCP gateway', 'The outputs of another run are going to be collected.'),
('studio.command', 'studio', null, 'HelixMCP gateway', 'A command was sent to a studio session.');

select aximo_private.make_append_only('helix.event_kinds');
comment on table helix.event_kinds is 'The kinds of run events that HelixMCP Events v1 lists and its gateway writes; others are taken too. The same for every customer. Grows by migration; a kind whose meaning changed would be listed again, with another version.';
comment on column helix.event_kinds.kind is 'The kind, as events carry it.';
comment on column helix.event_kinds.version is 'The version of its meaning and of the shape of its data.';
comment on column helix.event_kinds.family is 'What it is about: run, exec, slurm, collect, simulate or studio. Also said by its prefix.';
comment on column helix.event_kinds.state is 'What it says about the run, for metrics: started, queued, running, succeeded, failed or blocked; null for nothing.';
comment on column helix.event_kinds.origin is 'The document that lists it, or the program that writes it.';
comment on column helix.event_kinds.meaning is 'What has happened when such an event is written.';
