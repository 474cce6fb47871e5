"""Benchmarks of the pipeline: `python -m benchmarks.NAME --help` describes the method; `make bench` runs all."""
