"""Proof under faults: a load of room lives, faults by seed, and a checker that reads the logs (docs/internals/guarantees.md)."""
