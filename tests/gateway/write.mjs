// Does through kysely and node-postgres what a gateway does for one run, and prints what it reads back as JSON.
// Where and as whom, node-postgres takes from PGHOST, PGPORT, PGUSER and PGDATABASE.
import { createRequire } from "node:module";

const require = createRequire(import.meta.url); // which, unlike import, looks into NODE_PATH
const { Kysely, PostgresDialect } = require("kysely");
const { Pool } = require("pg");

const [runId] = process.argv.slice(2);
const pool = new Pool({ options: "-c search_path=helix" });
const db = new Kysely({ dialect: new PostgresDialect({ pool }) });

const run = {
  run_id: runId,
  project_id: "project-1",
  tool_name: "align_reads",
  contract_version: "v1",
  tool_version: "1.2.3",
  params_hash: `sha256:${"1".repeat(64)}`,
  policy_hash: `sha256:${"2".repeat(64)}`,
  status: "queued",
  requested_by: "a scientist",
  policy_snapshot: { version: 1 },
  environment: { node: "20", nested: { list: [1, 2, 3] } },
};
const insertRun = () =>
  db.insertInto("runs").values(run).onConflict((conflict) => conflict.column("run_id").doNothing()).execute();
const update = (values) => db.updateTable("runs").set(values).where("run_id", "=", runId).execute();
const say = (kind, message, data) => db.insertInto("run_events").values({ run_id: runId, kind, message, data }).execute();
const count = ([{ numInsertedOrUpdatedRows, numUpdatedRows }]) => Number(numInsertedOrUpdatedRows ?? numUpdatedRows);

try {
  const counts = [count(await insertRun()), count(await insertRun())]; // a run that is there already stays as it is
  await say("run.queued", null, null);
  counts.push(count(await update({ status: "running", started_at: "2026-01-02T03:04:05.678Z" })));
  await say("run.started", "on the local machine", { slots: 2 });
  await say("run.progress", "half", { done: 0.5, of: ["a", "b"] });
  counts.push(
    count(
      await update({
        status: "succeeded",
        finished_at: "2026-01-02T03:05:06.789Z",
        exit_code: 0,
        result_json: { mapped: 17, note: "é \"quoted\" \\ 😀" },
      }),
    ),
  );
  await say("run.succeeded", null, { exit_code: 0 });

  const columns = ["event_id", "run_id", "ts", "kind", "message", "data"];
  const read = await db.selectFrom("runs").selectAll().where("run_id", "=", runId).executeTakeFirstOrThrow();
  const events = await db
    .selectFrom("run_events")
    .select(columns)
    .where("run_id", "=", runId)
    .orderBy("event_id", "asc")
    .execute();
  console.log(JSON.stringify({ counts, given: run, read, events }));
} finally {
  await db.destroy();
}
