// Stands in for pg-mem in the gateway's test suite: its newDb() makes a pool on a fresh database of a real PostgreSQL.
//
// Where the server is, and who makes the databases, node-postgres takes from PGHOST, PGPORT and PGUSER. Two more say
// which database it is to be; without them, the gateway finds an empty one and makes its own tables:
//   AXIMO_GATEWAY_TEMPLATE  the database to copy, with every table in it
//   AXIMO_GATEWAY_LOGIN     the login the gateway works as, in the schema helix
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";

// The driver that the gateway itself works with, not whichever is near this file.
const pg = createRequire(path.resolve("package.json"))("pg");
const { AXIMO_GATEWAY_TEMPLATE: template, AXIMO_GATEWAY_LOGIN: login } = process.env;
const schema = readFileSync(path.resolve("db/schema.sql"), "utf8");

async function makeDatabase(name) {
  const maker = new pg.Client({ database: "postgres" });
  await maker.connect();
  try {
    await maker.query(`create database ${name} template ${pg.escapeIdentifier(template ?? "template0")}`);
  } finally {
    await maker.end();
  }
}

class FreshPool extends pg.Pool {
  #database;
  #made;

  constructor(database) {
    super(login ? { database, user: login, options: "-c search_path=helix" } : { database });
    this.#database = database;
  }

  // newDb() and Pool() are synchronous, so the database is made for the first connection.
  connect(callback) {
    this.#made ??= makeDatabase(this.#database);
    if (!callback) return this.#made.then(() => super.connect());
    this.#made.then(() => super.connect(callback), callback);
  }

  query(text, ...rest) {
    // The tables are there. In service nobody but their owner makes any: the gateway runs with AUTO_SCHEMA=false.
    if (login && text === schema) return Promise.resolve({ rows: [], rowCount: 0 });
    return super.query(text, ...rest);
  }
}

export function newDb() {
  // The databases are left: who started the suite looks into them, and drops them.
  const database = `gw_${randomUUID().replaceAll("-", "")}`;
  const Pool = FreshPool.bind(null, database);
  return { adapters: { createPg: () => ({ Pool }) } };
}
