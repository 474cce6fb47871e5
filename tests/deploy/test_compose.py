"""docker-compose.yml follows its schema and matches the code, the image and the chart.

tests/data/compose-spec.json is the schema of the Compose Specification, from its repository (Apache-2.0).
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from pipeline.gateway.settings import GatewaySettings
from pipeline.settings import Settings

ROOT = Path(__file__).parent.parent.parent
TEXT = (ROOT / "docker-compose.yml").read_text()
FILE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, Any] = FILE["services"]
OURS = {name: service for name, service in SERVICES.items() if service["image"].startswith("conference-pipeline:")}
PARTS = (ROOT / "pipeline" / "devstack" / "parts.txt").read_text()
CHART = yaml.safe_load((ROOT / "helm" / "conference-pipeline" / "Chart.yaml").read_text())
VERSION = re.search(r'^version = "(.*)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)


def test_file_follows_the_compose_schema() -> None:
    schema = json.loads((ROOT / "tests" / "data" / "compose-spec.json").read_text())
    jsonschema.Draft7Validator(schema).validate(FILE)


def test_server_versions_are_those_of_the_tests() -> None:
    kafka = re.search(r":kafka_2\.13:([\d.]+):", PARTS)
    registry = re.search(r":apicurio-registry-app:([\d.]+):", PARTS)
    assert kafka is not None
    assert registry is not None
    assert SERVICES["kafka"]["image"] == f"apache/kafka:{kafka[1]}"
    assert SERVICES["registry"]["image"] == f"apicurio/apicurio-registry:{registry[1]}"
    for service in SERVICES.values():
        assert re.fullmatch(r"[\w./-]+:v?\d+\.\d+\.\d+", service["image"])


def test_image_and_chart_have_the_package_version() -> None:
    assert VERSION is not None
    assert CHART["appVersion"] == VERSION[1]
    assert {service["image"] for service in OURS.values()} == {f"conference-pipeline:{VERSION[1]}"}
    assert set(OURS) == {"setup", "worker", "gateway", "bridge", "demo"}


def test_settings_exist_and_have_their_defaults() -> None:
    all_fields = [*Settings.model_fields.values(), *GatewaySettings.model_fields.values()]
    fields = {field.validation_alias.choices[0]: field.default for field in all_fields}  # type: ignore[union-attr]
    fields["ENGINE_PASSWORD"] = ""
    for service in OURS.values():
        for name, value in service["environment"].items():
            default = re.fullmatch(rf"\$\{{{name}:-(.*)\}}", str(value))
            if default is not None:
                assert type(fields[name])(default[1]) == fields[name], name
            else:
                assert name in ("KAFKA_BOOTSTRAP_SERVERS", "SCHEMA_REGISTRY_URL", "GATEWAY_APPS_FILE")
    assert SERVICES["worker"]["environment"]["SCHEMA_REGISTRY_URL"].endswith("/apis/ccompat/v7")


def test_advertised_addresses_match_the_listeners() -> None:
    kafka = SERVICES["kafka"]["environment"]
    advertised = dict(entry.split("://") for entry in kafka["KAFKA_ADVERTISED_LISTENERS"].split(","))
    listeners = dict(entry.split("://") for entry in kafka["KAFKA_LISTENERS"].split(","))
    assert {name: address.rpartition(":")[2] for name, address in advertised.items()} == {
        name: listeners[name].removeprefix(":") for name in advertised
    }
    assert advertised["INTERNAL"] == "kafka:19092"
    inside = [service.get("environment", {}) for service in SERVICES.values()]
    named = {
        value
        for env in inside
        for key, value in env.items()
        if key.upper().replace("_", "").endswith("BOOTSTRAPSERVERS")
    }
    assert named == {advertised["INTERNAL"]}
    assert advertised["HOST"].replace("localhost", "127.0.0.1") + ":9092" in SERVICES["kafka"]["ports"]


def test_ports_are_local_unique_and_documented() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", ())]
    assert all(port.startswith("127.0.0.1:") for port in ports)
    taken = [port.split(":")[1] for port in ports if port.split(":")[1]]
    assert len(taken) == len(set(taken))
    for port in taken:
        if port != "9090":
            assert f":{port}" in TEXT.partition("\nname:")[0], f"the head of the file does not name {port}"


def test_services_wait_for_their_dependencies() -> None:
    def waits(name: str) -> dict[str, str]:
        return {other: how["condition"] for other, how in SERVICES[name]["depends_on"].items()}

    servers = {"kafka": "service_healthy", "registry": "service_healthy"}
    assert waits("registry") == {"kafka": "service_healthy"}
    assert waits("setup") == servers
    assert waits("worker") == {**servers, "setup": "service_completed_successfully"}
    for edge in ("gateway", "bridge"):
        assert waits(edge) == {"setup": "service_completed_successfully"}
    assert waits("demo") == {"worker": "service_healthy"}
    for service in SERVICES.values():
        needed = service.get("depends_on", {})
        healthy = [
            name for name in needed if isinstance(needed, dict) and needed[name]["condition"] == "service_healthy"
        ]
        assert all("healthcheck" in SERVICES[name] for name in healthy)


@pytest.mark.parametrize("name", ["setup", "worker", "gateway", "bridge", "demo"])
def test_containers_have_least_privilege(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["tmpfs"] == ["/tmp"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]


def test_optional_services_have_profiles() -> None:
    profiles = {name: service.get("profiles", []) for name, service in SERVICES.items()}
    assert profiles == {
        **{name: [] for name in ("kafka", "registry", "setup", "worker")},
        **{
            "demo": ["demo"],
            "ui": ["ui"],
            "gateway": ["gateway"],
            "bridge": ["engines"],
            "prometheus": ["observability"],
            "grafana": ["observability"],
        },
    }
    assert "container_name" not in SERVICES["worker"]  # a fixed name would prevent scaling


def test_mounted_files_and_configs_exist() -> None:
    for service in SERVICES.values():
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            assert source in FILE["volumes"] or (ROOT / source).exists()
        for config in service.get("configs", ()):
            assert yaml.safe_load(FILE["configs"][config["source"]]["content"])
    prometheus = yaml.safe_load(FILE["configs"]["prometheus"]["content"])
    assert prometheus["rule_files"] == [SERVICES["prometheus"]["volumes"][0].split(":")[1]]
    (found,) = prometheus["scrape_configs"][0]["dns_sd_configs"]
    assert (found["names"], found["port"]) == (
        ["worker", "gateway", "bridge"],
        Settings.model_fields["http_port"].default,
    )
    (provider,) = yaml.safe_load(FILE["configs"]["grafana-dashboards"]["content"])["providers"]
    assert provider["options"]["path"] == SERVICES["grafana"]["volumes"][0].split(":")[1]
    home = SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert (ROOT / "helm/conference-pipeline/dashboards" / Path(home).name).exists()


def test_demo_waits_for_all_events_of_the_recording() -> None:
    expected = (ROOT / "tests" / "captures" / "freeswitch.events.expected.jsonl").read_text().count("\n")
    assert f"--max {expected} " in SERVICES["demo"]["command"][0]


def test_gateway_reads_its_apps_file_from_a_secret() -> None:
    gateway = SERVICES["gateway"]
    assert gateway["secrets"] == ["apps"]
    assert gateway["environment"]["GATEWAY_APPS_FILE"] == "/run/secrets/apps"
    assert FILE["secrets"]["apps"]["file"].endswith("apps.toml}")


def test_bridge_command_has_known_options() -> None:
    name, kind, *options = SERVICES["bridge"]["command"]
    assert (name, kind, options[::2]) == ("engine", "freeswitch", ["--node", "--url"])
    assert "PIPELINE_WATCHDOG_MODE=progress" in TEXT.partition("\nname:")[0]  # without it, files are cut at 10 s
