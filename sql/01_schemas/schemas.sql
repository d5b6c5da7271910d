alter schema aximo_private owner to aximo_owner;
comment on schema aximo_private is 'Tables and helpers of the ledger. No login has USAGE; everything public is in schema aximo.';

create schema aximo authorization aximo_owner;
comment on schema aximo is 'The event ledger''s API: views to read, functions to write.';

create schema helix authorization aximo_owner;
comment on schema helix is 'Tool runs and their events: HelixMCP Events v1.';

create schema aximo_metrics authorization aximo_owner;
comment on schema aximo_metrics is 'Metrics, for BI tools: plain views, each of the session''s customer.';

-- PUBLIC gets nothing of what these roles create later. (With IN SCHEMA, default privileges could only add to PUBLIC's.)
alter default privileges for role aximo_owner revoke execute on functions from public;
alter default privileges for role aximo_owner revoke usage on types from public;
alter default privileges for role aximo_gatekeeper revoke execute on functions from public;
alter default privileges for role aximo_recorder revoke execute on functions from public;
alter default privileges for role aximo_sequencer revoke execute on functions from public;
alter default privileges for role aximo_meter revoke execute on functions from public;

-- A role can be made the owner of a function only if it may CREATE in the schema. 99_grants/grants.sql takes that right back.
grant usage, create on schema aximo, aximo_private, helix to aximo_gatekeeper, aximo_recorder, aximo_sequencer, aximo_meter;
