"""Fault injection: a load of signals, faults from a seed, and a checker of the topics (docs/internals/guarantees.md)."""
