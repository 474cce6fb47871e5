"""What all bridges have in common, without I/O and without a clock (docs/howto/write-a-bridge.md).

bounds    tables of bounded size
ids       names of the engine's rooms and sessions ↔ room_id and session_uuid
snapshot  what an engine has now
commands  a published event or no-op → what the engine must do
order     events and no-ops of one partition in the order in which they are performed
journal   a play that was begun, as the metadata of a committed offset
ended     playbacks whose end the bridge must not report any more
audit     a snapshot compared with the rooms view, twice
claim     which bridge holds a node
"""
