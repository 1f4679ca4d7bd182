//! A broadcast server as a user of socketioxide would write it.
//!
//! `join` puts a client into a room, `publish` sends `{room, body}` to all in that room as the
//! event `message`.

use std::io::Read as _;
use std::process::ExitCode;

use axum::serve::ListenerExt as _;
use serde::{Deserialize, Serialize};
use socketioxide::SocketIo;
use socketioxide::extract::{AckSender, Data, SocketRef};
use tokio::net::TcpListener;

#[derive(Deserialize, Serialize)]
struct Message {
    room: String,
    body: String,
}

struct Arguments {
    port: u16,
    threads: usize,
}

impl Arguments {
    fn read() -> Option<Self> {
        let mut arguments = Self {
            port: 0,
            threads: 1,
        };
        let mut given = std::env::args().skip(1);
        while let Some(name) = given.next() {
            match name.as_str() {
                "--port" => arguments.port = given.next()?.parse().ok()?,
                "--threads" => {
                    arguments.threads =
                        given.next()?.parse().ok().filter(|threads| *threads > 0)?;
                }
                _ => return None,
            }
        }
        Some(arguments)
    }
}

fn main() -> ExitCode {
    let Some(arguments) = Arguments::read() else {
        eprintln!("usage: socketioxide-peer [--port PORT] [--threads WORKERS]");
        return ExitCode::FAILURE;
    };
    // SIGTERM ends a process that does not ask for it; the end of stdin has to be watched for.
    std::thread::spawn(|| {
        let mut stdin = std::io::stdin().lock();
        let mut ignored = [0; 256];
        while matches!(stdin.read(&mut ignored), Ok(read) if read > 0) {}
        std::process::exit(0);
    });
    let served = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(arguments.threads)
        .enable_all()
        .build()
        .and_then(|runtime| runtime.block_on(serve(arguments.port)));
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(port: u16) -> std::io::Result<()> {
    let (layer, io) = SocketIo::new_layer();
    io.ns("/", connected);
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    println!("listening on {}", listener.local_addr()?);
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            eprintln!("TCP_NODELAY: {error}");
        }
    });
    axum::serve(listener, axum::Router::new().layer(layer)).await
}

async fn connected(socket: SocketRef) {
    socket.on("join", joined);
    socket.on("publish", published);
}

async fn joined(socket: SocketRef, Data(room): Data<String>, ack: AckSender) {
    socket.join(room);
    if let Err(error) = ack.send(&true) {
        eprintln!("an ack was not sent: {error}");
    }
}

async fn published(io: SocketIo, Data(message): Data<Message>) {
    let room = message.room.clone();
    // The error is about those whose buffer is full: what they miss is the client's to notice.
    let _ = io.to(room).emit("message", &message).await;
}
