"""What the guarantees cost, as ratios to bare INSERTs in the same run."""
