# Two images: the webhook's (`docker build .`), and that of the keeper of its certificates (`docker build --target keeper .`),
# which alone has the client of the Kubernetes API.  What runs holds no pip, no compiler and no shell.
#
# Both bases are arguments: take mirrors of your own, and pin what you take by digest (NAME@sha256:…), since a
# tag may be another image tomorrow.  They have to agree on Python's minor version: here 3.13, which Debian 13 has.
ARG BUILDER=python:3.13-slim-trixie
ARG BASE=gcr.io/distroless/python3-debian13:nonroot

# On the architecture of whoever builds: wheels of the other one are unpacked, and nothing of it is run.
FROM --platform=$BUILDPLATFORM ${BUILDER} AS build
ARG TARGETARCH
WORKDIR /build
COPY requirements-serve.lock requirements-keeper.lock ./
# Wheels only: a source package would run code of its own while it is built.
RUN case "$TARGETARCH" in amd64) machine=x86_64 ;; arm64) machine=aarch64 ;; *) exit 1 ;; esac; \
    for image in serve keeper; do \
      python3 -m pip install --no-cache-dir --no-compile --only-binary :all: --require-hashes --root-user-action ignore \
        --platform manylinux_2_34_$machine --platform manylinux_2_28_$machine --platform manylinux_2_17_$machine \
        --platform manylinux2014_$machine --target /$image -r requirements-$image.lock || exit 1; \
      rm -rf /$image/bin; \
    done
COPY webhook /serve/webhook
# What the page (`serve --preview`) says about each code.  Its editor is in the image if it was built before: by `make`.
COPY docs/messages.md /serve/webhook/server/api/page/
COPY webhook /keeper/webhook
COPY certs /keeper/certs
# The root is read-only at run time, so bytecode is made here.  It is not checked against the sources, as they
# cannot change any more.
RUN for image in serve keeper; do \
      python3 -m compileall -q --invalidation-mode unchecked-hash -s /$image -p /app /$image || exit 1; \
    done

# Said, since older releases of buildah go on with the platform of the stage before.
FROM --platform=$TARGETPLATFORM ${BASE} AS base
ARG VERSION REVISION SOURCE
LABEL org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.source="$SOURCE"
# Unbuffered, or the last log lines of a process that is killed are lost.
ENV PYTHONPATH=/app PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
WORKDIR /app
# A number, which runAsNonRoot can check without /etc/passwd.
USER 65532:65532
ENTRYPOINT ["python3", "-m", "webhook"]

FROM base AS keeper
LABEL org.opencontainers.image.title="gpu-slice-keeper" \
      org.opencontainers.image.description="Makes, publishes and renews the certificates of the gpu-slice webhook"
COPY --from=build /keeper /app
EXPOSE 8080
CMD ["certs", "keep", "--namespace=gpu-slice", "--configuration=/etc/gpu-slice/configuration/webhook.yaml", "--advice=/etc/gpu-slice/configuration/advice.yaml"]

FROM base AS serve
LABEL org.opencontainers.image.title="gpu-slice" \
      org.opencontainers.image.description="Give a Kubernetes pod a slice of a GPU by one annotation"
COPY --from=build /serve /app
EXPOSE 10250 8080
CMD ["serve", "--tls-dir=/etc/gpu-slice/tls", "--tls-name=webhook.gpu-slice.svc", "--fleet=/etc/gpu-slice/fleet/fleet.yaml"]
