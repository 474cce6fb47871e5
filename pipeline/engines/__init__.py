"""Media engines: one package for each.

`<engine>/adapter`, a module or a package, turns the engine's events into media signals; it is pure (no clock, no I/O).
"""
