// Runs the gateway's own test suite, as it is published, with a real PostgreSQL for pg-mem. Started in its checkout.
import { fileURLToPath } from "node:url";

export default {
  resolve: { alias: { "pg-mem": fileURLToPath(new URL("pg-mem.mjs", import.meta.url)) } },
  cacheDir: process.env.AXIMO_GATEWAY_CACHE, // by default it is in the checkout, which is left as it was found
  test: {
    include: ["tests/**/*.test.ts"],
    // A database is made for each test, and on a busy machine that takes its time.
    testTimeout: 120_000,
    hookTimeout: 120_000,
  },
};
