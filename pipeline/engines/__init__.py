"""Media engines: one package for each, and what their bridges share (docs/howto/write-a-bridge.md).

`<engine>/adapter`, a module or a package, turns the engine's events into media signals; it is pure (no clock, no I/O).

    rules        what all bridges have in common, pure
    engine       what a bridge needs of an engine
    bridge       one bridge: all parts together
    media_files  urls → files that an engine plays
    signal_queue decisions performer auditor claim_holder api_log topic_log counts   its parts
"""
