# Hubbub in a container: one binary, nobody's user, nothing but what it needs.
#
#   docker build -t hubbub .
#   docker run --rm -p 8080:8080 -e DATABASE_URL=postgres://hubbub:secret@db/hubbub hubbub
#
# compose.yaml runs four of them with Postgres, Redis and nginx.

# The browser's Socket.IO client, which the node serves.
FROM node:22-bookworm-slim AS client
WORKDIR /src
COPY scripts/socketio-client scripts/
RUN scripts/socketio-client

FROM rust:1-bookworm AS build
WORKDIR /src
# The binary's dependencies first: they change seldom and take most of the time.
COPY Cargo.toml Cargo.lock ./
COPY loadtests/Cargo.toml loadtests/
RUN mkdir -p src loadtests/src loadtests/tests benches/hot_path tests/it \
    && echo 'fn main() {}' | tee src/main.rs loadtests/src/main.rs benches/hot_path/main.rs tests/it/main.rs > /dev/null \
    && touch src/lib.rs \
    && cargo build --release --locked --features jemalloc \
    && rm -rf src
COPY . .
COPY --from=client /src/web/socket.io-client/dist web/socket.io-client/dist
RUN touch src/main.rs src/lib.rs \
    && cargo build --release --locked --features jemalloc \
    && strip --strip-debug target/release/hubbub

FROM debian:bookworm-slim
RUN groupadd --gid 10001 hubbub \
    && useradd --uid 10001 --gid hubbub --no-create-home --home-dir /var/lib/hubbub --shell /usr/sbin/nologin hubbub \
    && install -d -o hubbub -g hubbub /var/lib/hubbub
# Whom a Redis by TLS (rediss://) is trusted by, where redis.tls_ca names nobody else.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /src/target/release/hubbub /usr/local/bin/hubbub
USER hubbub
WORKDIR /var/lib/hubbub
VOLUME /var/lib/hubbub
ENV HUBBUB__HTTP__BIND=0.0.0.0:8080 \
    HUBBUB__DATA_DIR=/var/lib/hubbub \
    HUBBUB__TELEMETRY__FORMAT=json
EXPOSE 8080
# Whether it serves; whether it is ready for clients is what /health/ready says.
HEALTHCHECK --interval=5s --timeout=3s --start-period=30s --retries=3 CMD ["hubbub", "health"]
# It is process 1 and handles SIGTERM: clients are told to move, then it stops. Give it the 30 s
# (docker stop --time 30).
STOPSIGNAL SIGTERM
ENTRYPOINT ["hubbub"]
CMD ["serve"]
