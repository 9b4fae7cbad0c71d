# gspnp in one image; each process of docker-compose.yml is this image with another command. No secret is in it: keys and
# passwords come at run time, by the environment or by the file that GSPNP_ENV_FILE names (docs/deploying.md).

FROM python:3.12-slim-trixie AS packages
WORKDIR /build
COPY requirements.txt .
# Files with the hashes of requirements.txt and no others, and nothing that would have to be compiled here.
RUN python -m venv --without-pip /opt/venv \
 && pip --disable-pip-version-check --no-cache-dir --python /opt/venv/bin/python install \
        --require-hashes --only-binary :all: -r requirements.txt

FROM python:3.12-slim-trixie
# Fixed numbers: whoever owns secrets and volumes outside has to know them.
RUN groupadd --gid 10001 gspnp \
 && useradd --uid 10001 --gid gspnp --no-create-home --home-dir /data --shell /usr/sbin/nologin gspnp \
 && install -d -m 700 -o gspnp -g gspnp /data
COPY --from=packages /opt/venv /opt/venv
# The listener's interpreter, which may open raw sockets: a container gives a user who is not root no capability of its own,
# a file does. It starts only where the container has NET_RAW, and has it only without no-new-privileges.
RUN apt-get update \
 && apt-get install -y --no-install-recommends libcap2-bin \
 && install -m 755 "$(readlink -f /usr/local/bin/python3)" /opt/venv/bin/python-raw \
 && setcap cap_net_raw+ep /opt/venv/bin/python-raw \
 && apt-get purge -y --auto-remove libcap2-bin \
 && rm -rf /var/lib/apt/lists/*
# For manage.py backup and restore: pg_dump and pg_restore of the major version of docker-compose.yml's server, which is the one
# that this Debian has.
RUN apt-get update \
 && apt-get install -y --no-install-recommends postgresql-client-17 \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /app
COPY manage.py Procfile ./
COPY devices devices
COPY provisioning provisioning
COPY sipmcast sipmcast
COPY gspnp gspnp
COPY static static
COPY templates templates
# The root of the file system is read-only where this runs: what Python compiles is compiled here.
RUN python -m compileall -q /app /opt/venv/lib
ENV PATH=/opt/venv/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    GSPNP_ENV_FILE= \
    GSPNP_DATA_DIR=/data
USER 10001:10001
VOLUME ["/data"]
EXPOSE 8000/tcp 5481/tcp
STOPSIGNAL SIGTERM
# Alone, it is what `make run` starts: all four processes, on SQLite below /data. Phones are heard with `--network host`.
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s --retries=3 CMD ["python", "-m", "gspnp.healthy", "console", "phones"]
CMD ["sh", "-c", "python -m gspnp.prepare && exec python -m gspnp.run"]
