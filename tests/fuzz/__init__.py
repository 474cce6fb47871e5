"""Fuzzing of all code that parses external bytes (`make fuzz`).

hostile.py     values of up to 1 MiB that are built to be expensive to parse
seeds.py       valid bytes: signals, events, table rows, other writers' schemas, a captured conference
targets.py     the parsers under test and what must hold for a parsed value
mutate.py      mutations of the seeds
strategies.py  inputs drawn by Hypothesis
run.py         the fuzzing loop: counts, CPU time, memory, files with failing inputs
batches.py     record batches that are damaged at every level
live.py        writes them to a broker with a worker, and measures what good signals wait
"""
