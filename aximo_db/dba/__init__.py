"""What a DBA runs: install, look, verify, and keep the ledger going."""
