"""Clients of Kafka and of the registry. Only this package and pipeline/worker use private names of aiokafka."""
