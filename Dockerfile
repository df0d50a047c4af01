# syntax=docker/dockerfile:1
# One image for web, workers and migrations: docker build -t gleanset .
FROM python:3.13-slim-bookworm AS build

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/gleanset
WORKDIR /source
# What changes seldom comes first, so that a new version of the code does not download its dependencies again.
COPY requirements.txt ./
RUN /opt/gleanset/bin/pip install --require-hashes --only-binary :all: -r requirements.txt
COPY pyproject.toml README.md LICENSE ./
COPY gleanset ./gleanset
COPY backend ./backend
COPY alembic ./alembic
RUN /opt/gleanset/bin/pip install --no-deps --no-build-isolation .


FROM python:3.13-slim-bookworm

RUN useradd --system --uid 10001 --home-dir /data --shell /usr/sbin/nologin gleanset \
    && install --directory --owner gleanset --group gleanset --mode 0700 /data
COPY --from=build /opt/gleanset /opt/gleanset
ENV PATH=/opt/gleanset/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    GLEANSET_HOME=/data \
    GLEANSET_LOG_FORMAT=json
# By number, so that Kubernetes can see that it is not root.
USER 10001
WORKDIR /data
VOLUME /data
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=20s \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/health/live', timeout=4)"]
ENTRYPOINT ["gleanset"]
CMD ["serve", "--host", "0.0.0.0"]
