"""The chart matches the code, checked without Helm: values, schema, settings, topics, permissions. See `make chart`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_origin

import pytest
import yaml
from pydantic import SecretStr

from pipeline.gateway.settings import GatewaySettings
from pipeline.kafka import acls
from pipeline.settings import Settings
from pipeline.settings_rules import DERIVED, EFFECTIVE, REQUIRED
from pipeline.topics import ALL_TOPICS
from tools import chart_rules

CHART = Path(__file__).parent.parent.parent / "helm" / "conference-pipeline"
VALUES: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())
SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text())
TEMPLATES = "".join(path.read_text() for path in sorted((CHART / "templates").rglob("*")) if path.is_file())
FIELDS = {field.validation_alias.choices[0]: field for field in Settings.model_fields.values()}  # type: ignore[union-attr]
GATEWAY = {field.validation_alias.choices[0]: field for field in GatewaySettings.model_fields.values()}  # type: ignore[union-attr]

VALUE_OF = {
    "KAFKA_BOOTSTRAP_SERVERS": "kafka.bootstrapServers",
    "SCHEMA_REGISTRY_URL": "registry.url",
    "PIPELINE_TOPIC_PREFIX": "pipeline.topicPrefix",
    "PIPELINE_GROUP_ID": "pipeline.groupId",
    "PIPELINE_PARTITIONS": "pipeline.partitions",
    "PIPELINE_REPLICATION_FACTOR": "pipeline.replicationFactor",
    "PIPELINE_WATCHDOG_SECONDS": "pipeline.watchdogSeconds",
    "PIPELINE_WATCHDOG_MODE": "pipeline.watchdogMode",
    "PIPELINE_HTTP_PORT": "pipeline.httpPort",
    "PIPELINE_SESSION_TIMEOUT_SECONDS": "pipeline.sessionTimeoutSeconds",
    "PIPELINE_TRACE_CONTEXT": "pipeline.traceContext",
    "PIPELINE_LOG_LEVEL": "pipeline.logLevel",
    "PIPELINE_LOG_FORMAT": "pipeline.logFormat",
    "KAFKA_SECURITY_PROTOCOL": "kafka.securityProtocol",
    "KAFKA_SASL_MECHANISM": "kafka.sasl.mechanism",
    "KAFKA_SASL_USERNAME": "kafka.sasl.username",
    "KAFKA_SSL_VERIFY_HOSTNAME": "kafka.tls.verifyHostname",
    "GATEWAY_HTTP_PORT": "gateway.port",
    "GATEWAY_NODES": "gateway.nodes",
    "GATEWAY_TRUSTED_PROXIES": "gateway.trustedProxies",
    "GATEWAY_SESSION_CHECK_URL": "gateway.sessionCheckUrl",
    "GATEWAY_WAIT_SECONDS": "gateway.waitSeconds",
    "GATEWAY_APP_REQUESTS_PER_SECOND": "gateway.appRequestsPerSecond",
    "GATEWAY_ANONYMOUS_REQUESTS_PER_SECOND": "gateway.anonymousRequestsPerSecond",
    "GATEWAY_PLAY_COOLDOWN_SECONDS": "gateway.playCooldownSeconds",
    "GATEWAY_CONTROL_COOLDOWN_SECONDS": "gateway.controlCooldownSeconds",
    "GATEWAY_SESSION_COOLDOWN_SECONDS": "gateway.sessionCooldownSeconds",
    "GATEWAY_MAX_BODY_BYTES": "gateway.maxBodyBytes",
    "GATEWAY_MAX_CONNECTIONS": "gateway.maxConnections",
    "GATEWAY_MAX_PENDING": "gateway.maxPending",
    "GATEWAY_MAX_STREAMS": "gateway.maxStreams",
    "GATEWAY_APP_STREAMS": "gateway.appStreams",
    "GATEWAY_REPLAY_READERS": "gateway.replayReaders",
}
"""Settings that have the same value in the chart."""
OTHERWISE = {"PIPELINE_LOG_FORMAT", "KAFKA_SASL_MECHANISM", "PIPELINE_WATCHDOG_MODE"}
"""Settings with another default in the chart: a pod has no terminal, clusters use SCRAM, and bridges report progress."""


def leaves(values: dict[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every value that the schema does not divide further."""
    for key, value in values.items():
        name = f"{path}{key}"
        if isinstance(value, dict) and "properties" in raw(name):
            yield from leaves(value, f"{name}.")
        else:
            yield name, value


def raw(name: str) -> dict[str, Any]:
    """Return the schema of a value, possibly a reference."""
    found = SCHEMA
    for key in name.split("."):
        found = found["properties"][key]
    return found


def resolve(name: str) -> dict[str, Any]:
    """Return the schema of a value, with its reference resolved."""
    found = raw(name)
    if "$ref" in found:
        found = SCHEMA["definitions"][found["$ref"].removeprefix("#/definitions/")]
    return found


def properties(schema: dict[str, Any], path: str = "") -> Iterator[str]:
    """Yield every name in the schema."""
    for key, below in schema.get("properties", {}).items():
        yield f"{path}{key}"
        yield from properties(below, f"{path}{key}.")


def test_schema_has_exactly_the_values() -> None:
    names = set(properties(SCHEMA)) - {"global"}
    parents = {name.rsplit(".", n)[0] for name, _ in leaves(VALUES) for n in range(name.count(".") + 1)}
    assert names == {name for name, _ in leaves(VALUES)} | parents

    def strict(schema: dict[str, Any]) -> None:
        if "properties" in schema:
            assert schema["additionalProperties"] is False
            for below in schema["properties"].values():
                strict(below)

    strict(SCHEMA)
    for definition in SCHEMA["definitions"].values():
        strict(definition)


def test_every_value_is_documented() -> None:
    text = (CHART / "values.yaml").read_text()
    page = (CHART / "README.md").read_text()
    rows = re.findall(r"^\| ([\w.]+) \| [a-z]+ \| .* \| (.+) \|$", page, re.MULTILINE)
    assert [name for name, _ in rows] == [name for name, _ in leaves(VALUES)], "run `make chart-docs`"
    assert text.count("# -- ") == len(rows)


def test_templates_use_every_value() -> None:
    unused = [
        name for name, _ in leaves(VALUES) if not re.search(rf"\.{re.escape(name.rpartition('.')[2])}\b", TEMPLATES)
    ]
    assert unused == []


def test_templates_set_every_setting() -> None:
    in_templates = set(re.findall(r"\b((?:KAFKA|SCHEMA_REGISTRY|PIPELINE)_[A-Z_]+)\b", TEMPLATES))
    assert in_templates == set(FIELDS)
    assert set(re.findall(r"\b(GATEWAY_[A-Z_]+)\b", TEMPLATES)) == set(GATEWAY)
    assert {name for name in FIELDS if isinstance(FIELDS[name].default, SecretStr)} & set(VALUE_OF) == set()


@pytest.mark.parametrize(("setting", "name"), VALUE_OF.items(), ids=list(VALUE_OF))
def test_values_have_the_defaults_and_limits_of_settings(setting: str, name: str) -> None:
    field, schema = {**FIELDS, **GATEWAY}[setting], resolve(name)
    value = dict(leaves(VALUES))[name]
    assert setting in OTHERWISE or value == field.default
    if get_origin(field.annotation) is not None:
        assert [one for one in schema["enum"] if one] == list(get_args(field.annotation))
    limits = {
        "ge": "minimum",
        "gt": "exclusiveMinimum",
        "le": "maximum",
        "max_length": "maxLength",
        "pattern": "pattern",
    }
    for metadata in field.metadata:
        for attribute, keyword in limits.items():
            if (limit := getattr(metadata, attribute, None)) is not None and not setting.endswith("_HTTP_PORT"):
                assert schema[keyword] == limit, f"{name}: {keyword}"


def test_strimzi_topics_match_the_code() -> None:
    found = yaml.safe_load((CHART / "files" / "topics.yaml").read_text())["topics"]
    fixed = [{"partitions": topic.fixed_partitions} if topic.fixed_partitions else {} for topic in ALL_TOPICS]
    assert found == [
        {"name": topic.name, "config": topic.config, **own} for topic, own in zip(ALL_TOPICS, fixed, strict=True)
    ]


def granted(entries: list[dict[str, Any]]) -> set[tuple[str, str, str]]:
    kinds = {"transactionalId": "transactional-id"}
    return {
        (kinds.get(entry["type"], entry["type"]), entry.get("name", ""), operation)
        for entry in entries
        for operation in entry["operations"]
    }


def needed(listed: list[acls.Acl], settings: Settings) -> set[tuple[str, str, str]]:
    assert all(acl.name == settings.group_id for acl in listed if acl.kind != "topic")
    prefix = f"{settings.topic_prefix}."
    return {(acl.kind, acl.name.removeprefix(prefix) if acl.kind == "topic" else "", acl.operation) for acl in listed}


def test_strimzi_user_has_exactly_the_needed_permissions() -> None:
    files = yaml.safe_load((CHART / "files" / "acls.yaml").read_text())
    settings = Settings(transactional_id="conference-pipeline-worker-0")
    own = acls.worker(settings) + acls.setup(settings) + acls.doctor(settings)
    assert granted(files["acls"]) == needed(own, settings)
    assert granted(files["test"]) == needed(acls.producer(settings) + acls.consumer(settings), settings)


def test_strimzi_users_of_gateways_and_bridges_have_needed_permissions() -> None:
    files = yaml.safe_load((CHART / "files" / "acls.yaml").read_text())
    settings = Settings()
    assert granted(files["gateway"]) == needed(acls.gateway(settings), settings)
    bridge = {one for one in needed(acls.bridge(settings, settings.group_id), settings) if one[0] == "topic"}
    assert granted(files["bridges"]) == bridge | {("group", "bridge-", "Read")}


def test_examples_cover_every_setup_and_autoscaling_mode() -> None:
    examples = {
        path.name.removesuffix("-values.yaml"): yaml.safe_load(path.read_text()) for path in (CHART / "ci").iterdir()
    }
    assert {found.get("setup", {}).get("mode", "hook") for found in examples.values()} == {
        "hook",
        "job",
        "none",
    }
    assert {found.get("autoscaling", {}).get("mode", "none") for found in examples.values()} == {
        "hpa",
        "keda",
        "none",
    }


def test_rules_between_values_are_generated_from_those_between_settings() -> None:
    assert chart_rules.FILE.read_text() == chart_rules.rendered(), "run `make docs`"
    fields = {field for when in EFFECTIVE.values() for field in when} | EFFECTIVE.keys()
    fields |= {field for when, needed in REQUIRED for field in (*when, *needed)}
    assert fields - DERIVED.keys() <= chart_rules.VALUES.keys()
    names = {name for name, _ in leaves(VALUES)}
    assert {value for values in chart_rules.VALUES.values() for value in values} <= names
    assert {field for _, needed in REQUIRED for field in needed} >= chart_rules.EXTRA
    for name, default in chart_rules.DEFAULTS.items():
        assert str(dict(leaves(VALUES))[name]).lower() == default
