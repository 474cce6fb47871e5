"""The REST endpoints: requests of apps become signals, and their outcomes the answers (docs/internals/gateway.md)."""
