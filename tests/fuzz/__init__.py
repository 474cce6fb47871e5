"""Fuzzing of everything that reads bytes from outside (`make fuzz`).

hostile.py   values of up to 1 MiB that are built to be expensive
seeds.py     real bytes: signals, events, table rows, other writers' schemas, a captured conference
targets.py   what is fuzzed: bytes in, an outcome in a word out
mutate.py    what is done to the bytes
run.py       the loop, the clock, the memory, reproducers
strategies.py  the same bytes as Hypothesis draws them
"""
