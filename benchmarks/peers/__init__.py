"""The comparison with peers: `make bench-peers`, or `python -m benchmarks.peers --help`."""
