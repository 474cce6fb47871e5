// Two programs with franz-go and hamba/avro: a consumer of conference events and a producer of signals.
//
//	eval "$(conference-pipeline up)"
//	go run . consume my-group 10
//	go run . publish room-1
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"os/signal"
	"strconv"
)

func env(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	if otherwise == "" {
		log.Fatalf("%s is not set: run eval \"$(conference-pipeline up)\", or name your own", name)
	}
	return otherwise
}

func main() {
	log.SetFlags(0)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	brokers, registry := env("KAFKA_BOOTSTRAP_SERVERS", ""), env("SCHEMA_REGISTRY_URL", "")
	prefix := env("PIPELINE_TOPIC_PREFIX", "conference")
	var err error
	switch {
	case len(os.Args) == 4 && os.Args[1] == "consume":
		most, bad := strconv.Atoi(os.Args[3])
		if bad != nil {
			log.Fatal(bad)
		}
		err = consume(ctx, brokers, registry, prefix, os.Args[2], most)
	case len(os.Args) == 3 && os.Args[1] == "publish":
		err = publish(ctx, brokers, registry, prefix, os.Args[2])
	default:
		err = fmt.Errorf("usage: consume GROUP MAX | publish ROOM")
	}
	if err != nil {
		log.Fatalf("error: %v", err)
	}
}
