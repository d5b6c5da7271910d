"""A PostgreSQL of one's own, and a ledger in it."""
