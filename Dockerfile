# One image for flow, API, pages and tools: docker-compose.yml and k8s/heat-pump run it, each with a command of `heatpump`.
#
# To build from bases that cannot change, give their digests, as `docker buildx imagetools inspect NAME` prints them:
#   docker build --build-arg PYTHON_IMAGE=python:3.11-slim-bookworm@sha256:… .
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
WORKDIR /build
COPY requirements.lock ./
# The lock holds what tests need, too; of what is fetched and checked here, the next step takes what ours needs.
RUN python3 -m venv /pip \
    && /pip/bin/pip download --quiet --disable-pip-version-check --no-cache-dir --no-deps --only-binary :all: \
        --require-hashes -r requirements.lock -d wheels
COPY pyproject.toml README.md LICENSE ./
COPY flows flows
COPY api api
COPY panel_app panel_app
# Made to run alone: no pip, no setuptools, no tests of other people's; compiled here, for a root nobody may write.
RUN /pip/bin/pip install --quiet --disable-pip-version-check --no-index --find-links wheels 'setuptools>=75' \
    && /pip/bin/pip wheel --quiet --disable-pip-version-check --no-cache-dir --no-deps --no-build-isolation -w ours . \
    && python3 -m venv --without-pip /opt/heatpump \
    && /pip/bin/pip --python /opt/heatpump/bin/python install --quiet --disable-pip-version-check --no-cache-dir --no-compile \
        --no-index --find-links wheels ours/*.whl \
    && find /opt/heatpump/lib -type d -name tests -path '*/site-packages/*' -prune -exec rm -rf {} + \
    && /opt/heatpump/bin/python -m compileall -q -j 0 /opt/heatpump/lib \
    && /opt/heatpump/bin/heatpump --help >/dev/null

FROM ${PYTHON_IMAGE}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="heat-pump-monitor" \
      org.opencontainers.image.description="Heat pump monitoring that loses nothing: MQTT through a durable node graph to InfluxDB or SQLite, REST and pages" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# The folders belong to our user, so that an empty volume mounted over one does, too.
RUN groupadd --gid 10001 heatpump \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin heatpump \
    && install -d -o 10001 -g 10001 -m 0700 /data /access /backups \
    && install -d -o 10001 -g 10001 -m 0750 /accounts
COPY --from=build /opt/heatpump /opt/heatpump
ENV PATH=/opt/heatpump/bin:$PATH \
    HEATPUMP_DATA=/data \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
USER 10001:10001
WORKDIR /tmp
STOPSIGNAL SIGTERM
# Of the flow; compose asks each service for itself.
HEALTHCHECK --interval=15s --timeout=10s --start-period=60s CMD ["heatpump", "healthy", "flow"]
ENTRYPOINT ["heatpump"]
CMD ["flow"]
