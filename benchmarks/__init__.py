"""What the pipeline costs, measured: `python -m benchmarks.NAME --help` says how; `make bench` runs all."""
