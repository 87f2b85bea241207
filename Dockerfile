# A small image of the server alone: the compiled core, static by musl, on Alpine.
#   docker build -t elastik .
#   docker run -p 3105:3105 -v elastik:/data -v ./secrets:/run/secrets:ro elastik
# /run/secrets/key is needed (32 bytes or more, readable by user 65532); the tokens are optional:
#   -e ELASTIK_WRITE_TOKEN_FILE=/run/secrets/write-token
FROM rust:1.89-alpine AS build
# SQLite is compiled in, from C; versions of the compiler come with the pinned image.
# hadolint ignore=DL3018
RUN apk add --no-cache gcc musl-dev
WORKDIR /src
COPY core-bin/ core-bin/
RUN cargo build --release --locked --manifest-path core-bin/Cargo.toml

FROM alpine:3.22
# A volume takes its owner and its mode from this directory.
RUN adduser -D -H -u 65532 elastik && install -d -m 700 -o elastik -g elastik /data
COPY --from=build /src/core-bin/target/release/elastik-core /usr/local/bin/elastik-core
# By number: Kubernetes' runAsNonRoot cannot judge a name.
USER 65532:65532
ENV ELASTIK_HOST=0.0.0.0 ELASTIK_PORT=3105 ELASTIK_DATA=/data ELASTIK_KEY_FILE=/run/secrets/key
VOLUME /data
EXPOSE 3105
HEALTHCHECK --interval=30s --timeout=3s --start-period=10s \
    CMD ["wget", "-q", "-O", "/dev/null", "http://127.0.0.1:3105/proc/ready"]
# What is being written is finished, and the store is closed.
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/local/bin/elastik-core"]
