package main

import (
	"context"
	"fmt"
	"log"
	"slices"
	"strings"
	"time"

	"github.com/hamba/avro/v2"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sr"
)

// Event has the fields that this service needs. The decoder follows the writer's schema and skips all others, so
// fields that a newer version adds do no harm, and one type is enough for all events.
type Event struct {
	SessionUUID string `avro:"session_uuid"`
	Meta        struct {
		EventID    string    `avro:"event_id"`
		Sequence   int64     `avro:"sequence"`
		OccurredAt time.Time `avro:"occurred_at"` // hamba makes a time of microseconds
	} `avro:"meta"`
}

// known are the types that this service understands. Others are passed before they are decoded: more may come.
var known = []string{
	"conference.created", "conference.destroyed", "conference.member.joined", "conference.member.left",
	"conference.member.muted", "conference.member.unmuted", "conference.play.started", "conference.play.paused",
	"conference.play.resumed", "conference.play.stopped", "conference.play.volume_changed",
	"conference.play.finished", "conference.play.failed",
}

// room is what the consumer remembers of a room. In memory it drops repeats within this run. After a crash, events
// come again: store the sequence in the database transaction of your own write.
type room struct {
	sequence int64
	firstID  string
	members  map[string]bool
}

type service struct {
	rooms   map[string]*room
	schemas map[int]avro.Schema
	client  *sr.Client
}

func consume(ctx context.Context, brokers, registry, prefix, group string, most int) error {
	client, err := sr.NewClient(sr.URLs(registry))
	if err != nil {
		return err
	}
	s := &service{map[string]*room{}, map[int]avro.Schema{}, client}
	kafka, err := kgo.NewClient(
		kgo.SeedBrokers(strings.Split(brokers, ",")...),
		kgo.ConsumerGroup(group),
		kgo.ConsumeTopics(prefix+".events"),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), // not the default: aborted events would arrive
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.AutoCommitMarks(), // commit only what MarkCommitRecords has marked, after the work
		kgo.BlockRebalanceOnPoll(),
		kgo.OnPartitionsRevoked(func(ctx context.Context, c *kgo.Client, _ map[string][]int32) {
			c.CommitMarkedOffsets(ctx)
			clear(s.rooms) // another consumer may handle the next events
		}),
	)
	if err != nil {
		return err
	}
	defer kafka.CloseAllowingRebalance()
	for seen := 0; seen < most; {
		fetches := kafka.PollRecords(ctx, 100)
		if err := fetches.Err(); err != nil {
			return err
		}
		for _, record := range fetches.Records() {
			isNew, err := s.handle(ctx, record)
			if err != nil {
				return err
			}
			kafka.MarkCommitRecords(record)
			if isNew {
				if seen++; seen == most {
					break
				}
			}
		}
		kafka.AllowRebalance()
	}
	s.print()
	return kafka.CommitMarkedOffsets(context.Background())
}

// handle does the work for a record. It returns whether the event was new.
func (s *service) handle(ctx context.Context, record *kgo.Record) (bool, error) {
	name := header(record, "ce_type")
	if !slices.Contains(known, name) {
		fmt.Println("ignored", name)
		return false, nil
	}
	var event Event
	if err := s.decode(ctx, record.Value, &event); err != nil {
		return false, fmt.Errorf("%s at %d/%d: %w", name, record.Partition, record.Offset, err)
	}
	id, meta := string(record.Key), event.Meta
	r := s.rooms[id]
	if r == nil {
		r = &room{members: map[string]bool{}}
		s.rooms[id] = r
	}
	switch {
	case meta.Sequence == 1 && meta.EventID != r.firstID: // a life of the room begins
		r.firstID = meta.EventID
		clear(r.members)
	case meta.Sequence <= r.sequence:
		return false, nil
	case r.sequence > 0 && meta.Sequence > r.sequence+1:
		log.Printf("room %s: %d is followed by %d", id, r.sequence, meta.Sequence)
	}
	r.sequence = meta.Sequence
	switch name {
	case "conference.member.joined":
		r.members[event.SessionUUID] = true
	case "conference.member.left":
		delete(r.members, event.SessionUUID)
	}
	fmt.Println(id, fmt.Sprint("#", meta.Sequence), name, meta.OccurredAt.UTC().Format("2006-01-02T15:04:05.000000Z"))
	return true, nil
}

func (s *service) decode(ctx context.Context, value []byte, event *Event) error {
	id, data, err := new(sr.ConfluentHeader).DecodeID(value)
	if err != nil {
		return err
	}
	schema := s.schemas[id]
	if schema == nil {
		found, err := s.client.SchemaByID(ctx, id)
		if err != nil {
			return err
		}
		// A cache of its own: versions of one schema share their names.
		if schema, err = avro.ParseWithCache(found.Schema, "", &avro.SchemaCache{}); err != nil {
			return err
		}
		s.schemas[id] = schema
	}
	return avro.Unmarshal(schema, data, event)
}

func (s *service) print() {
	for id, r := range s.rooms {
		if len(r.members) > 0 {
			names := []string{}
			for member := range r.members {
				names = append(names, member)
			}
			slices.Sort(names)
			fmt.Printf("in %s: %s\n", id, strings.Join(names, ", "))
		}
	}
}

func header(record *kgo.Record, name string) string {
	for _, h := range slices.Backward(record.Headers) {
		if h.Key == name {
			return string(h.Value)
		}
	}
	return ""
}
