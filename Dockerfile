# Two stages, because the image that runs holds no pip, no compiler and no shell.
#
# Both bases are arguments: take mirrors of your own, and pin what you take by digest (NAME@sha256:…), since a
# tag may be another image tomorrow.  They have to agree on Python's minor version and on the C library, as the
# packages are built for both: here 3.11 and Debian 12.
ARG BUILDER=python:3.11-slim-bookworm
ARG BASE=gcr.io/distroless/python3-debian12:nonroot

FROM ${BUILDER} AS build
WORKDIR /build
COPY requirements.lock .
# Wheels only: a source package would run code of its own while it is built.
RUN python3 -m pip install --no-cache-dir --no-compile --only-binary :all: --require-hashes \
      --target /app -r requirements.lock
COPY webhook /app/webhook
COPY certs /app/certs
# What the page (`serve --preview`) says about each code.  Its editor is in the image if it was built before: by `make`.
COPY docs/messages.md /app/webhook/server/api/page/
# The root is read-only at run time, so bytecode is made here.  It is not checked against the sources, as they
# cannot change any more.
RUN python3 -m compileall -q --invalidation-mode unchecked-hash /app

FROM ${BASE}
LABEL org.opencontainers.image.title="gpu-slice" \
      org.opencontainers.image.description="Give a Kubernetes pod a slice of a GPU by one annotation" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /app /app
# Unbuffered, or the last log lines of a process that is killed are lost.
ENV PYTHONPATH=/app PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
WORKDIR /app
# A number, which runAsNonRoot can check without /etc/passwd.
USER 65532:65532
EXPOSE 10250 8080
ENTRYPOINT ["python3", "-m", "webhook"]
CMD ["serve", "--tls-dir=/etc/gpu-slice/tls", "--tls-name=webhook.gpu-slice.svc", "--fleet=/etc/gpu-slice/fleet/fleet.yaml"]
