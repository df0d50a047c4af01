# One image for web, workers and migrations: docker build -t gleanset .
FROM python:3.13-slim-bookworm AS dependencies

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_PYTHON=/opt/gleanset
RUN python -m venv --without-pip /opt/gleanset
WORKDIR /source
# What changes seldom comes first, so that a new version of the code does not download its dependencies again.
COPY requirements.txt ./
RUN pip install --require-hashes --only-binary :all: -r requirements.txt


FROM dependencies AS build

COPY pyproject.toml README.md LICENSE ./
COPY gleanset ./gleanset
COPY backend ./backend
COPY alembic ./alembic
# Beside the dependencies: in the image, too, a new version of the code is a layer of its own, of a few megabytes.
RUN pip install --no-deps --no-build-isolation --prefix /code .


FROM python:3.13-slim-bookworm

RUN groupadd --system --gid 10001 gleanset \
    && useradd --system --uid 10001 --gid 10001 --home-dir /data --shell /usr/sbin/nologin gleanset \
    && install --directory --owner gleanset --group gleanset --mode 0700 /data
# The standard library comes without bytecode, and where the root is read-only every start would compile it anew.
RUN python -m compileall -q "$(python -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')"
COPY --from=dependencies /opt/gleanset /opt/gleanset
COPY --from=build /code /opt/gleanset
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
