//! Two clients and somebody of another room.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use tungstenite::{Message, connect};

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn what_a_member_sends_comes_to_all_members_of_the_room() {
    let child = Command::new(env!("CARGO_BIN_EXE_floor"))
        .args(["--port", "0"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the server starts");
    let mut server = Server(child);
    let mut line = String::new();
    let stdout = server.0.stdout.take().expect("its output");
    BufReader::new(stdout).read_line(&mut line).expect("a line");
    let address = line.trim().strip_prefix("listening on ").expect(&line);

    let (mut ann, _) = connect(format!("ws://{address}/?room=a")).expect("Ann connects");
    let (mut ben, _) = connect(format!("ws://{address}/?room=a")).expect("Ben connects");
    let (mut eve, _) = connect(format!("ws://{address}/?room=b")).expect("Eve connects");
    let messages = [
        Message::text("hello"),
        Message::binary(vec![7; 300]),
        Message::binary(vec![8; 200_000]),
    ];
    for message in messages {
        ann.send(message.clone()).expect("sent");
        assert_eq!(ann.read().expect("her own"), message);
        assert_eq!(ben.read().expect("hers"), message);
    }
    // The first that Eve hears is her own.
    eve.send(Message::text("anybody?")).expect("sent");
    assert_eq!(eve.read().expect("her own"), Message::text("anybody?"));
    eve.send(Message::Ping(vec![1].into())).expect("sent");
    assert_eq!(eve.read().expect("a pong"), Message::Pong(vec![1].into()));

    // Its end of stdin is closed by this.
    drop(server.0.stdin.take());
    assert!(server.0.wait().expect("it ends").success());
}
