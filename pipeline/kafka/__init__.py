"""Clients of Kafka and of the schema registry.

Only this package and pipeline/worker use private names of aiokafka. Its version is pinned, and
tests/test_private_names.py fails when a name changes.
"""
