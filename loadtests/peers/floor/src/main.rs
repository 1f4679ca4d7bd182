//! The floor: what a broadcast over WebSocket costs at the very least on this kernel.
//!
//! One thread, one epoll. A message of a member is framed once, and each member of its room gets
//! one `write` of that frame. There is no session, no log, no batching, no limit worth the name,
//! and of RFC 6455 only what a load generator needs.

mod server;
mod websocket;

use std::io::Read as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let port = match arguments.as_slice() {
        [] => Ok(0),
        [name, port] if name == "--port" => port.parse(),
        _ => {
            eprintln!("usage: floor [--port PORT]");
            return ExitCode::FAILURE;
        }
    };
    let Ok(port) = port else {
        eprintln!("--port is a number from 0 to 65535");
        return ExitCode::FAILURE;
    };
    // SIGTERM ends a process that does not ask for it; the end of stdin has to be watched for.
    std::thread::spawn(|| {
        let mut stdin = std::io::stdin().lock();
        let mut ignored = [0; 256];
        while matches!(stdin.read(&mut ignored), Ok(read) if read > 0) {}
        std::process::exit(0);
    });
    match server::run(port) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
