//! Two clients that speak Engine.IO 4 and Socket.IO 5 by hand, and somebody of another room.

use std::io::{BufRead as _, BufReader};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use tungstenite::stream::MaybeTlsStream;
use tungstenite::{Message, WebSocket, connect};

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct Client(WebSocket<MaybeTlsStream<TcpStream>>);

impl Client {
    fn in_room(address: &str, room: &str) -> Self {
        let url = format!("ws://{address}/socket.io/?EIO=4&transport=websocket");
        let (socket, _) = connect(url).expect("connected");
        let mut client = Self(socket);
        assert!(client.read().starts_with('0'), "Engine.IO's greeting");
        client.send("40".to_owned());
        assert!(client.read().starts_with("40"), "Socket.IO's");
        client.send(format!("421{}", json!(["join", room])));
        assert_eq!(client.read(), "431[true]");
        client
    }

    fn publish(&mut self, room: &str, body: &str) {
        let event = json!(["publish", { "room": room, "body": body }]);
        self.send(format!("42{event}"));
    }

    fn event(&mut self) -> Value {
        let text = self.read();
        let event = text.strip_prefix("42").expect("an event");
        serde_json::from_str(event).expect("JSON")
    }

    fn send(&mut self, text: String) {
        self.0.send(Message::text(text)).expect("sent");
    }

    fn read(&mut self) -> String {
        loop {
            let message = self.0.read().expect("a message");
            let text = message.to_text().expect("text");
            if text != "2" {
                return text.to_owned();
            }
        }
    }
}

#[test]
fn what_is_published_comes_to_all_members_of_the_room() {
    let child = Command::new(env!("CARGO_BIN_EXE_socketioxide-peer"))
        .args(["--port", "0", "--threads", "2"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the server starts");
    let mut server = Server(child);
    let mut line = String::new();
    let stdout = server.0.stdout.take().expect("its output");
    BufReader::new(stdout).read_line(&mut line).expect("a line");
    let address = line.trim().strip_prefix("listening on ").expect(&line);

    let mut ann = Client::in_room(address, "a");
    let mut ben = Client::in_room(address, "a");
    let mut eve = Client::in_room(address, "b");
    ann.publish("a", "hello");
    let expected = json!(["message", { "room": "a", "body": "hello" }]);
    assert_eq!(ann.event(), expected);
    assert_eq!(ben.event(), expected);
    // The first that Eve hears is her own.
    eve.publish("b", "anybody?");
    assert_eq!(eve.event()[1]["body"], "anybody?");

    // Its end of stdin is closed by this.
    drop(server.0.stdin.take());
    assert!(server.0.wait().expect("it ends").success());
}
