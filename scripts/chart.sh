#!/usr/bin/env bash
# Checks the chart and the Dockerfile. Usage: scripts/chart.sh docs|fast|full|golden|api
#   docs    write README.md and the dashboard of the chart
#   golden  write the rendered resources of each variant
#   fast    lint, template, schemas of two Kubernetes versions, unit tests, promtool, hadolint; for every merge
#   full    fast, and helm 3, goldens, kube-score, docker compose config; writes tests/full.txt
#   api     installs on a real API server with fake nodes (scripts/chart_api.py); writes tests/api.txt
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
what=${1:-fast}
chart=helm/conference-pipeline
golden=$chart/tests/golden
kubernetes=(1.27 1.37) # the oldest that the chart allows, and the newest with schemas
case $what in fast | full | api) tools=$what ;; *) tools=fast ;; esac
bin=$(scripts/chart_tools.sh "$tools")
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
# Ignore the user's plugins, repositories and clusters.
export HELM_CONFIG_HOME=$out/config HELM_CACHE_HOME=$out/cache HELM_DATA_HOME=$out/data KUBECONFIG=/dev/null

variants() { for file in "$chart"/ci/*-values.yaml; do basename "$file" -values.yaml; done; }
render() { # $1 helm, $2 variant, then more options
    "$bin/$1" template demo "$chart" --namespace voice --kube-version "${kubernetes[-1]}" \
        --values "$chart/ci/$2-values.yaml" "${@:3}"
}
whole() { render helm4 "$1" --set monitoring.dashboard.enabled=false; } # without the dashboard, which is a copy of a file
step() { echo "-- $*"; }
die() { echo "chart: $*" >&2; exit 1; }

docs() { # $1 output file
    "$bin/helm-docs" --log-level warning --chart-search-root "$chart" --sort-values-order file --dry-run >"$1"
}

lint() { # $1 helm
    step "$1 $("$bin/$1" version --template '{{.Version}}'): lint --strict and template of $(variants | tr '\n' ' ')"
    for variant in $(variants); do
        "$bin/$1" lint --strict --quiet --kube-version "${kubernetes[-1]}" "$chart" --values "$chart/ci/$variant-values.yaml"
        render "$1" "$variant" >"$out/$1-$variant.yaml"
    done
}

changes() {
    step "effects of changed values"
    local before after
    before=$(render helm4 gitops) after=$(render helm4 gitops --set pipeline.watchdogSeconds=11)
    [ "$(grep checksum/config <<<"$before")" != "$(grep checksum/config <<<"$after")" ] ||
        die "a changed setting does not restart the workers"
    [ "$(grep 'name: .*-setup-' <<<"$before")" != "$(grep 'name: .*-setup-' <<<"$after")" ] ||
        die "a changed setting does not create a new setup job"
    after=$(render helm4 gitops --set replicaCount=3)
    diff <(grep -v replicas: <<<"$before") <(grep -v replicas: <<<"$after") >&2 || die "replicaCount changes more than replicas"
    if "$bin/helm4" template demo "$chart" >"$out/none" 2>&1; then die "the chart renders without brokers"; fi
    grep -q "conference-pipeline: kafka.bootstrapServers is empty: set it to" "$out/none" || die "no error message about brokers: $(cat "$out/none")"
}

fast() {
    step "hadolint"
    "$bin/hadolint" Dockerfile
    step "README.md of the chart"
    docs "$out/README.md"
    diff "$chart/README.md" "$out/README.md" >&2 || die "README.md differs from values.yaml: run \`make chart-docs\`"
    lint helm4
    changes
    for version in "${kubernetes[@]}"; do
        step "kubernetes-validate --strict, Kubernetes $version"
        "$bin/kubernetes-validate" --strict --quiet --no-warn --kubernetes-version "$version" "$out"/helm4-*.yaml
    done
    step "helm-unittest"
    "$bin/helm-unittest" --strict "$chart"
    step "promtool"
    "$bin/promtool" check rules "$chart/files/alerts.yaml"
    "$bin/promtool" test rules "$chart/tests/promtool.yaml"
}

full() {
    fast
    lint helm3
    step "helm 3 and helm 4 render the same"
    # They differ only in the order of hooks and kinds, and in empty lines.
    for variant in $(variants); do
        diff <(grep '[^ ]' "$out/helm3-$variant.yaml" | sort) <(grep '[^ ]' "$out/helm4-$variant.yaml" | sort) >&2 || die "$variant differs"
    done
    step "goldens"
    for variant in $(variants); do
        whole "$variant" | diff "$golden/$variant.yaml" - >&2 ||
            die "$variant renders differently: if this is intended, run scripts/chart.sh golden"
    done
    step "kube-score" # topology constraints spread the pods; a pinned tag needs no pull; CPU has no limit on purpose
    "$bin/kube-score" score --output-format ci --ignore-container-cpu-limit --ignore-test container-image-pull-policy \
        --ignore-test statefulset-has-host-podantiaffinity "$out/helm4-secure.yaml" >"$out/score" ||
        die "$(grep -v '^\[\(OK\|SKIPPED\)\]' "$out/score")"
    echo "$(grep -c '^\[OK\]' "$out/score") checks passed"
    step "docker compose config"
    "$bin/docker-compose" --profile '*' config --quiet
}

case $what in
    docs)
        docs "$chart/README.md"
        "${PYTHON:-.venv/bin/python}" tools/dashboard.py
        ;;
    golden)
        lint helm4
        mkdir -p "$golden"
        for variant in $(variants); do whole "$variant" >"$golden/$variant.yaml"; done
        ;;
    fast)
        fast
        echo "chart: all checks passed"
        ;;
    full)
        { full; echo "chart: all checks passed"; } 2>&1 | tee "$out/full.txt"
        grep -v '^Time:' "$out/full.txt" >"$chart/tests/full.txt"
        ;;
    api)
        "${PYTHON:-.venv/bin/python}" scripts/chart_api.py "$bin" | tee "$out/api.txt"
        cp "$out/api.txt" "$chart/tests/api.txt"
        ;;
    *) die "usage: scripts/chart.sh docs|fast|full|golden|api" ;;
esac
