# One node of the chat: one process, no root, nothing written but to /data.
#
#   docker build -t chat .
#   docker run --read-only -p 127.0.0.1:8000:8000 -v chat:/data chat
#
# BASE is any Debian with Python 3.11 or later, with pip or without. All else is what poetry.lock says, by its hashes.
# PIP_INDEX_URL names another index; it stays behind with the first stage, as pip does.

ARG BASE=docker.io/library/python:3.13-slim-bookworm

FROM ${BASE} AS build
ARG PIP_INDEX_URL
ARG PIP_CERT
ENV PYTHONDONTWRITEBYTECODE=1 PYTHONHASHSEED=0 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python3 -c 'import ensurepip' 2>/dev/null \
 || { apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends python3-venv; }
RUN python3 -m venv /tools && python3 -m venv --without-pip /opt/chat
WORKDIR /build
COPY poetry.lock .deploy/locked.py ./
RUN /tools/bin/python locked.py poetry.lock postgres >locked.txt \
 && /tools/bin/pip --python /opt/chat/bin/python install --quiet --no-compile \
      --only-binary :all: --no-deps --require-hashes -r locked.txt \
 && /tools/bin/pip --python /opt/chat/bin/python check
COPY LICENSE chat.py /app/
COPY chat /app/chat
# What only compilers and tests read goes. Bytecode is trusted without a look at its source: neither ever changes.
RUN find /opt/chat/lib -depth \( -type d \( -name tests -o -name testing \) -path '*/site-packages/*' \
      -o -name '*.pyx' -o -name '*.pxd' -o -name '*.pyi' -o -name '*.[ch]' \) -exec rm -r {} + \
 && python3 -m compileall -q --invalidation-mode unchecked-hash /opt/chat/lib /app \
 && chmod -R go=u,go-w /app /opt/chat

FROM ${BASE}
LABEL org.opencontainers.image.title="chat" \
      org.opencontainers.image.description="A self-hosted real-time chat" \
      org.opencontainers.image.licenses="MIT"
RUN echo 'chat:x:10001:10001::/data:/usr/sbin/nologin' >>/etc/passwd \
 && echo 'chat:x:10001:' >>/etc/group \
 && install -d -o 10001 -g 10001 -m 700 /data
COPY --from=build /opt/chat /opt/chat
COPY --from=build /app /app
# SQLITE_TMPDIR: large sorts go to the volume, as nothing else can be written to.
ENV PATH=/opt/chat/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 HOME=/data SQLITE_TMPDIR=/data \
    CHAT_HOST=0.0.0.0 CHAT_PORT=8000 CHAT_DATABASE=sqlite:/data/chat.db
WORKDIR /app
USER 10001:10001
VOLUME /data
EXPOSE 8000
STOPSIGNAL SIGTERM
# That it lives, not that it is ready: a node whose store is away is not mended by killing it.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD ["python", "-c", "\
import os, http.client as h; c = h.HTTPConnection('127.0.0.1', int(os.environ['CHAT_PORT']), timeout=4); \
c.request('GET', '/healthz'); raise SystemExit(c.getresponse().status != 200)"]
CMD ["python", "chat.py"]
