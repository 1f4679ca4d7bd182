//! A client that has nothing, and one that has the answer.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

const ANSWER: &str = r#"{"headers": [["etag", "W/\"1\""], ["x-cache", "HIT"]],
    "not_modified": [["etag", "W/\"1\""]], "etag": "W/\"1\"", "body": "[]"}"#;

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn ask(address: &str, header: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("a connection");
    let request = format!(
        "GET /api/rooms/a/messages?limit=50 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{header}\r\n"
    );
    stream.write_all(request.as_bytes()).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer.to_lowercase()
}

#[test]
fn what_it_was_given_is_what_it_says() {
    let file = std::env::temp_dir().join(format!("rest-bare-{}.json", std::process::id()));
    std::fs::write(&file, ANSWER).expect("written");
    let child = Command::new(env!("CARGO_BIN_EXE_rest-bare"))
        .arg("--answer")
        .arg(&file)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the server starts");
    let mut server = Server(child);
    let mut line = String::new();
    let stdout = server.0.stdout.take().expect("its output");
    BufReader::new(stdout).read_line(&mut line).expect("a line");
    std::fs::remove_file(&file).expect("removed");
    let address = line.trim().strip_prefix("listening on ").expect(&line);

    let whole = ask(address, "");
    assert!(whole.starts_with("http/1.1 200"), "{whole}");
    assert!(whole.contains("\r\nx-cache: hit\r\n"), "{whole}");
    assert!(whole.ends_with("\r\n\r\n[]"), "{whole}");
    let known = ask(address, "if-none-match: W/\"1\"\r\n");
    assert!(known.starts_with("http/1.1 304"), "{known}");
    assert!(
        known.ends_with("\r\n\r\n") && !known.contains("x-cache"),
        "{known}"
    );

    // Its end of stdin is closed by this.
    drop(server.0.stdin.take());
    assert!(server.0.wait().expect("it ends").success());
}
