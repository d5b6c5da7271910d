"""JSON lines, in and out: events, runs, and their logs."""
