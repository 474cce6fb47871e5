package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"time"

	"github.com/hamba/avro/v2"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sr"
)

type create struct {
	SignalID   string    `avro:"signal_id"` // a repeat with the same id has no effect
	RoomID     string    `avro:"room_id"`
	OccurredAt time.Time `avro:"occurred_at"`
	AppID      string    `avro:"app_id"`
	Name       string    `avro:"name"`
}

type pause struct {
	SignalID    string    `avro:"signal_id"`
	RoomID      string    `avro:"room_id"`
	OccurredAt  time.Time `avro:"occurred_at"`
	OperationID string    `avro:"operation_id"`
}

func publish(ctx context.Context, brokers, registry, prefix, room string) error {
	client, err := sr.NewClient(sr.URLs(registry))
	if err != nil {
		return err
	}
	// franz-go's default partitioner for records with a key is murmur2, which the pipeline requires.
	// Its defaults also wait for all replicas and write each record once.
	kafka, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(brokers, ",")...))
	if err != nil {
		return err
	}
	defer kafka.Close()
	now := time.Now()
	signals := []struct {
		name   string
		signal any
	}{
		{"ConferenceCreate", create{rand.Text(), room, now, "my-app", "From Go"}},
		{"ConferencePause", pause{rand.Text(), room, now, rand.Text()}},
	}
	for _, s := range signals {
		topic := prefix + ".api.signals"
		value, err := encode(ctx, client, topic+"-conference.signal."+s.name, s.signal)
		if err != nil {
			return err
		}
		record := &kgo.Record{Topic: topic, Key: []byte(room), Value: value} // the key is the room_id
		if err := kafka.ProduceSync(ctx, record).FirstErr(); err != nil {
			return err
		}
		fmt.Println(s.name, record.Partition, record.Offset)
	}
	return nil
}

// encode uses the registered schema: a producer needs no write access to the registry.
func encode(ctx context.Context, client *sr.Client, subject string, signal any) ([]byte, error) {
	found, err := client.SchemaByVersion(ctx, subject, -1) // TopicRecordNameStrategy, the latest version
	if err != nil {
		return nil, err
	}
	schema, err := avro.ParseWithCache(found.Schema.Schema, "", &avro.SchemaCache{})
	if err != nil {
		return nil, err
	}
	data, err := avro.Marshal(schema, signal)
	if err != nil {
		return nil, err
	}
	head, err := new(sr.ConfluentHeader).AppendEncode(nil, found.ID, nil)
	return append(head, data...), err
}
