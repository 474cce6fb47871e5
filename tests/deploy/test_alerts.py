"""Alerts and dashboard: each query parses, and uses metrics, labels and label values that the code exports."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser as promql
import pytest
import yaml
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from pipeline.engines.counts import BridgeMetrics
from pipeline.gateway.metrics import GatewayMetrics
from pipeline.metrics import Metrics

sys.path.insert(0, str(Path(__file__).parent.parent.parent / "tools"))

import dashboard

ROOT = Path(__file__).parent.parent.parent
CHART = ROOT / "helm" / "conference-pipeline"
RULES = [
    rule for group in yaml.safe_load((CHART / "files" / "alerts.yaml").read_text())["groups"] for rule in group["rules"]
]
BOARD: dict[str, Any] = json.loads((CHART / "dashboards" / "conference-pipeline.json").read_text())
PANELS = [panel for panel in BOARD["panels"] if panel["type"] != "row"]
QUERIES = {f"{panel['title']} {target['refId']}": target["expr"] for panel in PANELS for target in panel["targets"]}

OF_THE_TARGET = {"namespace", "job", "instance", "pod", "container"}
"""Labels that Prometheus adds to every series of a target."""
KUBE_STATE = {
    "kube_pod_container_status_last_terminated_exitcode",
    "kube_pod_container_status_restarts_total",
    "kube_pod_container_status_ready",
}
"""Metrics of kube-state-metrics that alerts use."""


def exported() -> dict[str, dict[str, set[str]]]:
    """Return sample name → label → values that exist at the start; a label without series yet has no values."""
    found: dict[str, dict[str, set[str]]] = {}
    for metrics in (Metrics(), GatewayMetrics(), BridgeMetrics()):
        _add_exported(metrics, found)
    return found


def _add_exported(metrics: Any, found: dict[str, dict[str, set[str]]]) -> None:
    for metric in vars(metrics).values():
        if labels := getattr(metric, "_labelnames", ()):
            family = metric.describe()[0]
            found[family.name + ("_total" if family.type == "counter" else "")] = {name: set() for name in labels}
    for family in text_string_to_metric_families(generate_latest(metrics.registry).decode()):
        for sample in family.samples:
            labels = found.setdefault(sample.name, {})
            for name, value in sample.labels.items():
                labels.setdefault(name, set()).add(value)


EXPORTED = exported()


def parts(expression: Any) -> Iterator[Any]:
    """Yield every node of a query."""
    yield expression
    for name in ("expr", "lhs", "rhs", "vector_selector", "args", "param"):
        for below in _several(getattr(expression, name, None)):
            yield from parts(below)


def _several(value: Any) -> list[Any]:
    return [] if value is None else list(value) if isinstance(value, list) else [value]


def check(query: str) -> set[str]:
    """Return the metrics of a query. Raises when a metric, label or value is not exported."""
    metrics: set[str] = set()
    named: set[str] = set()
    for node in parts(promql.parse(query)):
        if isinstance(node, promql.AggregateExpr) and node.modifier is not None:
            named |= set(node.modifier.labels)
        if isinstance(node, promql.VectorSelector):
            metrics.add(node.name)
            if node.name in KUBE_STATE:
                continue
            labels = EXPORTED[node.name]
            for matcher in node.matchers.matchers:
                assert matcher.name in OF_THE_TARGET | set(labels), f"{node.name} has no label {matcher.name}"
                if matcher.name in labels and matcher.op == promql.MatchOp.Equal:
                    assert matcher.value in labels[matcher.name], f"{matcher.name} is never {matcher.value}"
    known = {label for name in metrics for label in EXPORTED.get(name, ())} | OF_THE_TARGET
    assert named <= known, f"labels {named - known} are on no metric of the query"
    assert metrics
    return metrics


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule["alert"]))
def test_alerts_query_exported_metrics(rule: dict[str, Any]) -> None:
    check(rule["expr"])
    assert rule["labels"]["severity"] in ("warning", "critical")
    assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}


def test_runbook_has_one_section_per_alert() -> None:
    pages = {name: (ROOT / "docs" / "howto" / f"{name}.md").read_text() for name in ("runbook", "runbook-edges")}
    text = "\n".join(pages.values())
    named = [rule["alert"] for rule in RULES]
    sections = re.findall(r"^### (ConferencePipeline\w+)\n\n(.*?)(?=^#|\Z)", text, re.MULTILINE | re.DOTALL)
    assert [name for name, _ in sections] == named
    for _, section in sections:
        assert re.findall(r"^\*\*(\w+):\*\*", section, re.MULTILINE) == ["Means", "Look", "Do"]
    for rule in RULES:
        page = next(name for name, found in pages.items() if f"\n### {rule['alert']}\n" in found)
        assert rule["annotations"]["runbook_url"] == f"docs/howto/{page}.md#{rule['alert'].lower()}"


def test_promtool_tests_every_alert_with_its_texts() -> None:
    cases = [
        (case["alertname"], alert["exp_annotations"])
        for test in yaml.safe_load((CHART / "tests" / "promtool.yaml").read_text())["tests"]
        for case in test.get("alert_rule_test", ())
        for alert in case.get("exp_alerts", ())
    ]
    rules = {rule["alert"]: rule["annotations"] for rule in RULES}
    assert {name for name, _ in cases} == set(rules)
    for name, expected in cases:
        assert set(expected) == set(rules[name])
        for field, text in expected.items():
            assert re.fullmatch(pattern(rules[name][field]), text), f"{name}: {text}"


def pattern(template: str) -> str:
    """Return what the texts of an annotation match: a placeholder is any text, an optional part may be missing."""
    parts = re.split(r"(\{\{ with .*?\{\{ end \}\}|\{\{.*?\}\})", template)
    return "".join(
        ".*" if part.startswith("{{ with") else ".+" if part.startswith("{{") else re.escape(part) for part in parts
    )


@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES)
def test_panels_query_exported_metrics(query: str) -> None:
    check(query.replace("$__rate_interval", "1m"))


def test_dashboard_shows_every_metric() -> None:
    shown = {name for query in QUERIES.values() for name in check(query.replace("$__rate_interval", "1m"))}
    samples = {name for name in EXPORTED if not name.endswith("_created")}
    unseen = families(samples) - families(shown)
    assert {name for name in unseen if "_process_" not in name} == set()


def families(samples: set[str]) -> set[str]:
    """Return the metrics of the samples: a histogram has three samples."""
    return {re.sub(r"_(bucket|sum|count)$", "", name) for name in samples}


@pytest.mark.parametrize(
    "query",
    [
        "pipeline_nothing",
        'pipeline_events_total{kind="x"}',
        'rate(pipeline_events_total{type="x"}[1m])',
        "sum by (x) (pipeline_rooms)",
    ],
)
def test_unknown_metrics_labels_and_values_are_errors(query: str) -> None:
    with pytest.raises((KeyError, AssertionError)):
        check(f"max(vector(0) + 1 / ({query}))")


def test_dashboard_file_is_up_to_date() -> None:
    assert dashboard.dashboard() == BOARD, "run `make chart-docs`"


def test_panels_do_not_overlap_and_variables_are_used() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in BOARD["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert max(x for x, _ in cells) < 24
        assert not cells & taken
        taken |= cells
    numbers = [panel["id"] for panel in BOARD["panels"]]
    assert len(numbers) == len(set(numbers))
    known = {variable["name"] for variable in BOARD["templating"]["list"]}
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(BOARD["panels"]))) - {"__rate_interval"}
    assert used == known
