"""Media engines: one package for each.

`<engine>/adapter.py` turns the engine's events into media signals; it is pure (no clock, no I/O).
"""
