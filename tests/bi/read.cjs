// Reads with node-postgres, and prints a line of JSON for each query.
const { Client } = require("pg");

async function main([host, port, database, user, ...queries]) {
  const client = new Client({ host, port: Number(port), database, user, password: process.env.PGPASSWORD });
  await client.connect();
  try {
    for (const query of queries) {
      const { fields, rows } = await client.query({ text: query, rowMode: "array" });
      const cell = (value, at) => {
        if (value === null) return null;
        const isDate = fields[at].dataTypeID === 1082; // arrives as midnight of the local zone, which is UTC here
        const text = value instanceof Date ? value.toISOString().slice(0, isDate ? 10 : undefined) : String(value);
        return [value.constructor.name, text];
      };
      console.log(JSON.stringify([fields.map((field) => field.name), rows.map((row) => row.map(cell))]));
    }
  } finally {
    await client.end();
  }
}

main(process.argv.slice(2)).catch((error) => {
  console.error(error);
  process.exit(1);
});
