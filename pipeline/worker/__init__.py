"""The worker: a Faust app whose delivery is one Kafka transaction per unit.

app        THE TOPOLOGY: topics, table, agent
engine     units: merge, barrier, decide, commit, in a loop
unit       what one unit says, encoded as it is said
transaction one transactional producer; a unit is one transaction; the broker's clock
offsets    private names of aiokafka's producer: group offsets fenced by the generation (KIP-447)
consumer   private names of Faust's consumer: batches instead of records, positions instead of offsets
store      private names of Faust's table store: loads partitions on assignment
recovery   a partition's table and positions from its log
watch      the barrier's questions: ends of logs, asked at a known broker time
web        /livez, /readyz, /metrics
run        the process: waiting for servers, signals, exit codes
"""
