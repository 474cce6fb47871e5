# `helm test`: sends a join to a new room and waits for the event. Runs in the image, also by hand.
room="smoke-test-$(cat /proc/sys/kernel/random/uuid)"

signals() {
    now=$(date -u +%Y-%m-%dT%H:%M:%SZ)
    for type in member.joined member.left; do
        printf '{"type":"%s","signal_id":"%s","room_id":"%s","session_uuid":"smoke","caller_id":"smoke","occurred_at":"%s"}\n' \
            "$type" "$type-$(cat /proc/sys/kernel/random/uuid)" "$room" "$now"
    done
}

echo "waiting for conference.member.joined of room $room"
conference-pipeline events --follow --room "$room" --type member.joined --max 1 --timeout "${TIMEOUT_SECONDS:-60}" &
follower=$!
# The follower reads only events published after its start, and does not report when it has started: so repeat the join
# until an event arrives. Each join is followed by a leave, after which the room is forgotten.
while kill -0 "$follower" 2>/dev/null; do
    signals | conference-pipeline send -
    sleep 1
done
if ! wait "$follower"; then
    echo "no event arrived: check that workers are ready (/readyz), and their logs" >&2
    exit 1
fi
echo "the event arrived: Kafka, the registry and a worker work"
