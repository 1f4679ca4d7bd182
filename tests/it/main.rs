//! Integration tests: the real binary, a real Postgres, real clients.

#![allow(
    clippy::unwrap_used,
    clippy::items_after_statements,
    reason = "a test that cannot go on panics; its constants stand where they are used"
)]

mod accept;
mod api_auth;
mod api_http;
mod api_limits;
mod api_members;
mod api_messages;
mod api_rooms;
mod bad_input;
mod cache;
mod changes;
mod chaos;
mod config;
mod containers;
mod control_log;
mod drain;
mod durability;
mod embedded;
mod enemy;
mod fanout;
mod foreign_client;
mod harness;
mod harness_itself;
mod health_command;
mod invitations;
mod journal;
mod layers;
mod licences;
mod migrations;
mod msgpack;
mod node_start;
mod nodes;
mod openapi;
mod origin;
mod peers;
mod pool;
mod presence;
mod protocol_doc;
mod proxy;
mod read_markers;
mod redis_bus;
mod rest_answers;
mod rest_bad_input;
mod rest_export;
mod rest_http2;
mod rest_keys;
mod rest_resources;
mod rest_schema;
mod resume;
mod retention;
mod roles;
mod session_cache;
mod sessions;
mod shared;
mod shutdown;
mod slow_peers;
mod socketio;
mod socketio_ask;
mod socketio_browser;
mod socketio_clients;
mod socketio_contract;
mod socketio_elsewhere;
mod socketio_http;
mod socketio_parsers;
mod socketio_wire;
mod sse;
mod statements;
mod supervision;
mod talk;
mod tls;
mod websocket_rfc;
mod ws_limits;
