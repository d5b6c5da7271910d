"""Several ledgers as one: what reads all nodes of a fleet."""
