"""Clients of Kafka and of the schema registry.

All private names of aiokafka are used in this package; its version is pinned, and tests/test_private_names.py lists
the names and fails when one of them changes.
"""
