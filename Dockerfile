# The first stage has pip and builds the environment; the second has only the environment.
# Packages from PyPI are locked with hashes in locks/, which .ci/lock writes.
FROM python:3.13-slim-trixie AS build
COPY locks /source/locks
RUN python -m venv /opt/build && python -m venv /opt/queueserver \
    && /opt/build/bin/pip install --no-cache-dir --quiet --only-binary :all: --require-hashes \
        --requirement /source/locks/build.txt \
    && /opt/queueserver/bin/pip install --no-cache-dir --quiet --only-binary :all: --require-hashes \
        --requirement /source/locks/run.txt
COPY pyproject.toml README.md LICENSE /source/
COPY .ci/hatch_build.py /source/.ci/hatch_build.py
COPY queueserver /source/queueserver
COPY storage /source/storage
COPY protocol /source/protocol
RUN /opt/build/bin/pip wheel --quiet --no-deps --no-build-isolation --wheel-dir /wheels /source \
    && /opt/queueserver/bin/pip install --quiet --no-deps --no-index /wheels/*.whl \
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
    CMD ["python", "-c", "import os, ssl, urllib.request as u; e = os.environ.get; c = ssl.create_default_context(); c.check_hostname = False; c.verify_mode = ssl.CERT_NONE; s = 'https' if e('QUEUESERVER_TLS_CERT') and not e('QUEUESERVER_TLS_PORT') else 'http'; u.urlopen(f'{s}://127.0.0.1:{(e(\"QUEUESERVER_PORT\") or \"9324\").split(\",\")[0]}/health', timeout=2, context=c)"]
CMD ["queueserver"]
