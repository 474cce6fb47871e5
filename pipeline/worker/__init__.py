"""One worker: a Faust process that turns signals into events, one Kafka transaction per unit of work."""
