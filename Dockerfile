# Two stages: the first has pip and makes the environment, the second has only what runs.
FROM python:3.13-slim-trixie AS build
COPY pyproject.toml README.md LICENSE /source/
COPY queueserver /source/queueserver
COPY storage /source/storage
COPY protocol /source/protocol
RUN python -m venv /opt/queueserver \
    && /opt/queueserver/bin/pip install --no-cache-dir --quiet /source \
    && /opt/queueserver/bin/pip uninstall --yes --quiet pip

FROM python:3.13-slim-trixie
COPY --from=build /opt/queueserver /opt/queueserver
RUN mkdir /data && chown 10001:10001 /data
ENV PATH=/opt/queueserver/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    QUEUESERVER_HOST=0.0.0.0 \
    QUEUESERVER_DATABASE=sqlite:////data/queueserver.db
USER 10001:10001
VOLUME /data
EXPOSE 9324
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as u; u.urlopen(f'http://127.0.0.1:{os.environ.get(\"QUEUESERVER_PORT\") or 9324}/health', timeout=2)"]
CMD ["queueserver"]
