# syntax=docker/dockerfile:1
# MinIO from source: its makers publish neither images nor binaries any more. The version is the one the tests run on.

FROM golang:1.25-bookworm AS build
ENV CGO_ENABLED=0 GOTOOLCHAIN=auto
RUN go install github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c \
    && mkdir -p /data

FROM alpine:3.22
RUN adduser -D -H -u 10002 minio
COPY --from=build /go/bin/minio /usr/local/bin/minio
COPY --from=build --chown=10002:10002 /data /data
USER 10002
VOLUME /data
EXPOSE 9000
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 \
    CMD ["wget", "-q", "-O", "/dev/null", "http://127.0.0.1:9000/minio/health/live"]
ENTRYPOINT ["minio"]
CMD ["server", "/data", "--address", ":9000", "--quiet"]
