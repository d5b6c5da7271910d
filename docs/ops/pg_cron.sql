-- Numbering and metrics by pg_cron, for who runs no worker. As the login that the jobs run as, in the database that pg_cron is in: it needs
-- aximo_operator, all customers (select aximo.grant_customer('log_keeper', '*')), and USAGE on schema cron.
select cron.schedule('aximo: number', '* * * * *', 'select aximo.advance_log()');
select cron.schedule('aximo: metrics', '*/5 * * * *', 'call aximo.keep_metrics()');
-- From another database of the cluster, name the ledger's:
--   select cron.schedule_in_database('aximo: metrics', '*/5 * * * *', 'call aximo.keep_metrics()', 'ledger');
-- pg_cron keeps a row for each run. Take old ones away:
select cron.schedule('aximo: forget', '0 3 * * *', $$delete from cron.job_run_details where end_time < now() - interval '7 days'$$);
