# syntax=docker/dockerfile:1
# docker build --build-arg REVISION="$(git rev-parse HEAD)" -t conference-pipeline:0.1.0 .
# PYTHON is the version of the tests. tests/deploy/test_image.py runs the RUN steps in a clean folder.
ARG PYTHON=3.11

# Not the slim image: this one has a C compiler.
FROM python:${PYTHON}-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
# Dependencies first: they change less often than the code. Only wheels: nothing is compiled.
# `web` has what the gateway needs; `--build-arg REQUIREMENTS=msk` adds the login to Amazon MSK by IAM.
ARG REQUIREMENTS=web
COPY requirements/web.txt requirements/msk.txt requirements/build.txt requirements/compile.txt requirements/
RUN python -m venv --without-pip /opt/venv \
    && python -m pip --python /opt/venv/bin/python install --only-binary :all: --require-hashes \
    -r "requirements/$REQUIREMENTS.txt"
# Compile the hot path to C extensions; not with `--build-arg COMPILE=0`.
ARG COMPILE=1
RUN python -m pip install --only-binary :all: --require-hashes -r requirements/build.txt \
    && if [ "$COMPILE" = 1 ]; then python -m pip install --only-binary :all: --require-hashes -r requirements/compile.txt; fi
COPY pyproject.toml README.md LICENSE ./
COPY pipeline pipeline
COPY docs/reference/schemas docs/reference/schemas
RUN python -m pip wheel --no-deps --no-build-isolation --wheel-dir /dist . \
    && python -m pip --python /opt/venv/bin/python install --no-deps --no-index /dist/*.whl
COPY scripts/compile.sh scripts/
RUN if [ "$COMPILE" = 1 ]; then scripts/compile.sh build/compiled /opt/venv/bin/python \
    && cp -R build/compiled/. "$(/opt/venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("platlib"))')"; fi

FROM python:${PYTHON}-slim-bookworm
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="conference-pipeline" \
      org.opencontainers.image.description="An ordered, exactly-once event stream for every conference room." \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.base.name="docker.io/library/python:3.11-slim-bookworm"
# No process needs pip.
RUN python -m pip uninstall --yes --root-user-action ignore pip setuptools wheel
COPY --from=build /opt/venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp
# A number, so that Kubernetes can verify that it isn't root. It owns no files; the root file system may be read-only.
USER 10001:10001
WORKDIR /tmp
EXPOSE 8000 8080
STOPSIGNAL SIGTERM
ENTRYPOINT ["conference-pipeline"]
CMD ["worker"]
