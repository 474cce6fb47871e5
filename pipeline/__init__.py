"""Conference event pipeline: an ordered, exactly-once event stream for every conference room.

From the bottom layer up; a layer imports only layers before it (`make check` enforces this):

    errors, gc_pause                             exceptions; a block without the garbage collector
    model                                        signals, events and table rows; JSON and Avro (pure)
    core                                         the rules of a room, as a pure function of state and signal
    settings, environment, settings_rules        configuration, how it is read, and which settings belong together
    profiles                                     named environments, and options in front of a command
    topics, metrics, logs, terminal              the topics, what operators and users see
    management                                   the port with the probes and the metrics of a process
    lines                                        lines of an input, in bounded memory
    replay                                       the rules applied to a file, without Kafka
    kafka                                        clients of Kafka and of the schema registry
    view                                         the rooms as they are now, and the outcomes of signals
    web                                          server, limits and process of HTTP services
    worker                                       one Faust process: one Kafka transaction per unit of work
    gateway, console                             the REST endpoints; pages for people on call
    engines                                      media engines' events to signals
    admin, devstack, demo                        setup and doctor; local servers; demonstrations
    cli                                          the commands
"""
