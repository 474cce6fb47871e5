"""Installs the chart into a real API server with controllers and fake nodes (`make chart-api`).

    .venv/bin/python scripts/chart_api.py BIN [CRDS]

BIN is the folder printed by scripts/chart_tools.sh api. CRDS is a folder with the custom resource definitions of the
Prometheus operator, KEDA and Strimzi; without it, their resources are skipped and listed. Every resource of every
variant, and every pod, is created by a server-side dry run with strict fields, in a namespace that enforces the
restricted Pod Security Standard. Then Helm does what scripts/chart_life.py describes.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import yaml
from chart_cluster import NAMESPACE, Api, servers
from chart_kubelet import FakeKubelet
from chart_life import CHART, Release, live

DRY: Final = "dry"
"""Namespace of the dry runs."""
TEMPLATES: Final = {"StatefulSet", "Job"}


def prepare(api: Api, crds: Path | None) -> set[str]:
    """Create namespaces that enforce `restricted`, and the definitions; return the kinds that these define."""
    enforced = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}
    for name in (NAMESPACE, DRY, "kafka"):
        metadata = {"name": name, "labels": enforced}
        wrong = api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
        assert wrong is None, wrong
    priority = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": "high"}}
    wrong = api.create({**priority, "value": 1})  # a variant uses it
    assert wrong is None, wrong
    kinds = set()
    for file in sorted(crds.glob("*.yaml")) if crds else ():
        for resource in filter(None, yaml.safe_load_all(file.read_text())):
            wrong = api.create(resource)
            assert wrong is None or wrong.startswith(("299", "299 -")), f"{file.name}: {wrong}"
            kinds.add(resource["spec"]["names"]["kind"])
    time.sleep(3)  # until the definitions are served
    return kinds


def pods(resource: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the pods that controllers would create for a resource."""
    if resource["kind"] in TEMPLATES:
        template = resource["spec"]["template"]
        yield {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {**template["metadata"], "name": "p"},
            "spec": template["spec"],
        }


def check(api: Api, helm: Path, values: Path, kinds: set[str]) -> list[str]:
    """Create all resources of a variant in a dry run; return the errors."""
    options = ["--namespace", DRY, "--values", str(values), "--kube-version", "1.37"]
    command = [str(helm), "template", "demo", str(CHART), *options]
    rendered = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    wrong, done, left, made = [], 0, [], []
    for resource in filter(None, yaml.safe_load_all(rendered)):
        if "." in resource["apiVersion"].partition("/")[0].removesuffix(".k8s.io") and resource["kind"] not in kinds:
            left.append(resource["kind"])
            continue
        for one in (resource, *pods(resource)):
            done += 1
            one["metadata"].setdefault("namespace", DRY)
            dry = "" if one["kind"] == "ServiceAccount" else "&dryRun=All"  # pods need their account
            if problem := api.create(one, f"?fieldValidation=Strict{dry}"):
                wrong.append(f"{one['kind']} {one['metadata']['name']}: {problem}")
        if resource["kind"] == "ServiceAccount":
            made.append(resource["metadata"]["name"])
    for account in made:
        api.call(f"/api/v1/namespaces/{DRY}/serviceaccounts/{account}", method="DELETE")
    name = values.name.removesuffix("-values.yaml")
    print(f"{name}: {done} resources and pods" + (f", skipped {', '.join(sorted(set(left)))}" if left else ""))
    return [f"{name}: {text}" for text in wrong]


def main(arguments: list[str]) -> int:
    """Run the command; return its exit code."""
    binaries, crds = Path(arguments[0]), Path(arguments[1]) if len(arguments) > 1 else None
    helm = binaries / "helm4"
    with tempfile.TemporaryDirectory() as scratch, servers(binaries, Path(scratch)) as api:
        kinds = prepare(api, crds)
        variants = sorted((CHART / "ci").glob("*-values.yaml"))
        wrong = [text for values in variants for text in check(api, helm, values, kinds)]
        with FakeKubelet(api, Path(scratch)).running() as kubelet:
            live(Release(api, helm, Path(scratch), kubelet))
    print("\n".join(wrong) or "all checks passed")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
