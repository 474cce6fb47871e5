"""The conference event pipeline: for every conference room, what just happened, once, in order, and truly.

Where things are, from the pure core outwards (imports go upwards in this list only):

    errors                     what can go wrong, and what to do about it
    events, signals, records   GENERATED from avro/: what we say, what we are told, what we remember
    wire, avro                 their Avro form (wire is GENERATED)
    decision                   the words that a decision is made of
    room                       decide(): the state table of contract §5, one match
    partition, merge           the rooms of one partition; the merge of its two signal topics
    freeswitch                 mod_conference events to signals
    codec                      bytes to signals, events to JSON
    settings, topics           every setting; the six topics
    registry, metrics          the schema registry's client; every metric
    replay                     the rules without Kafka
    worker                     the Faust app: the topology in `worker.app`, one transaction per unit
    local                      a real broker and a real registry on this machine
    demo, cli                  a recorded conference; the commands
"""
