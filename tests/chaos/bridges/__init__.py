"""Faults of bridges, of their engines and of the network between them: `python -m tests.chaos.bridges --help`.

switch  a fake of FreeSWITCH whose files end, behind proxies; it notes all commands
node    one engine node: its switch, its bridges and its load
faults  what is injected at a node, or at the servers
bed     a broker, workers and some nodes
check   the engine compared with the view, the commands with what was decided
bugs    errors built into the bridge, which `check` must find
run     one run: rounds of faults, each followed by a comparison
"""
