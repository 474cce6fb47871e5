# `helm test`: a session joins a room of its own, and its event must come. Runs in the image, also by hand.
room="smoke-test-$(cat /proc/sys/kernel/random/uuid)"

signals() {
    now=$(date -u +%Y-%m-%dT%H:%M:%SZ)
    for type in member.joined member.left; do
        printf '{"type":"%s","signal_id":"%s","room_id":"%s","session_uuid":"smoke","caller_id":"smoke","occurred_at":"%s"}\n' \
            "$type" "$type-$(cat /proc/sys/kernel/random/uuid)" "$room" "$now"
    done
}

echo "waiting for conference.member.joined of room $room"
conference-pipeline events --room "$room" --type member.joined --max 1 --timeout "${TIMEOUT_SECONDS:-60}" &
follower=$!
# It sees what comes after it has begun, and nobody says when that is: so join again until it has seen one. Each room
# is left again, and so forgotten.
while kill -0 "$follower" 2>/dev/null; do
    signals | conference-pipeline send -
    sleep 1
done
if ! wait "$follower"; then
    echo "no event came: are workers ready (/readyz), and what do they log?" >&2
    exit 1
fi
echo "the event came: Kafka, the registry and a worker do their work"
