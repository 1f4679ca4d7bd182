use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::protocol::engineio::Revision::{V3, V4};

const PLACEHOLDER: &str = r#"51-["a",{"_placeholder":true,"num":0}]"#;

fn settings() -> Settings {
    Settings {
        connect_timeout: Duration::from_secs(45),
        attachments_timeout: Duration::from_secs(10),
        packet_bytes: 1000,
        namespaces: 3,
        refusals: 2,
        awaited: 2,
    }
}

struct Scene {
    session: Session,
    now: Instant,
}

impl Scene {
    fn new(revision: Revision) -> Self {
        let (now, mut actions) = (Instant::now(), Vec::new());
        let session = Session::open(settings().into(), revision, now, &mut actions);
        let expected = match revision {
            V3 => vec![asks("/", None, None)],
            V4 => vec![],
        };
        assert_eq!(actions, expected);
        Self { session, now }
    }

    /// The client is in the main namespace.
    fn connected(revision: Revision) -> Self {
        let mut it = Self::new(revision);
        if revision == V4 {
            assert_eq!(it.text("0"), [asks("/", None, None)]);
        }
        it.accept("/");
        it
    }

    fn text(&mut self, text: &'static str) -> Vec<Action<'static>> {
        let mut actions = Vec::new();
        self.session.text(self.now, text, &mut actions);
        actions
    }

    fn bytes(&mut self, bytes: &'static [u8]) -> Vec<Action<'static>> {
        let mut actions = Vec::new();
        self.session.bytes(self.now, bytes, &mut actions);
        actions
    }

    fn tick(&mut self, after: Duration) -> Vec<Action<'static>> {
        let mut actions = Vec::new();
        self.now += after;
        self.session.tick(self.now, &mut actions);
        actions
    }

    fn accept(&mut self, nsp: &str) -> String {
        let message = self.session.accept(nsp, "s1", Some("p1")).unwrap();
        wire(message.as_ref())
    }

    fn refuse(&mut self, nsp: &str) -> (String, Vec<Action<'static>>) {
        let mut actions = Vec::new();
        let message = self
            .session
            .refuse(nsp, "Invalid namespace", None, &mut actions);
        (wire(message.unwrap().as_ref()), actions)
    }
}

fn wire(message: Option<&Message>) -> String {
    message.map_or_else(String::new, |it| {
        String::from_utf8_lossy(it.body()).into_owned()
    })
}

fn asks(nsp: &str, query: Option<&str>, data: Option<&'static str>) -> Action<'static> {
    Action::Connect {
        nsp: nsp.into(),
        query: query.map(Into::into),
        data: data.map(Value::json),
    }
}

fn event(nsp: &'static str, id: Option<u64>, args: &'static str) -> Action<'static> {
    Action::Event {
        nsp: nsp.into(),
        id,
        args: Value::json(args),
    }
}

fn closes(violation: Violation) -> [Action<'static>; 1] {
    [Action::Close(violation)]
}

/// "At the beginning of a Socket.IO session, the client MUST send a `CONNECT` packet. The server
/// MUST respond with either a `CONNECT` packet, with the session ID in the payload, or a
/// `CONNECT_ERROR` packet".
#[test]
fn a_client_asks_to_be_in_a_namespace() {
    let mut it = Scene::new(V4);
    assert_eq!(
        it.text(r#"0{"token":"123"}"#),
        [asks("/", None, Some(r#"{"token":"123"}"#))]
    );
    assert!(!it.session.is_in("/"));
    assert_eq!(it.accept("/"), r#"40{"sid":"s1","pid":"p1"}"#);
    assert!(it.session.is_in("/"));
    assert_eq!(it.text("0/custom"), [asks("/custom", None, None)]);
    let sid = it.session.accept("/custom", "s2", None).unwrap();
    assert_eq!(wire(sid.as_ref()), r#"40/custom,{"sid":"s2"}"#);
    assert_eq!(it.text("0/random?x=1,"), [asks("/random?x=1", None, None)]);
    assert_eq!(
        it.refuse("/random?x=1"),
        (
            r#"44/random?x=1,{"message":"Invalid namespace"}"#.into(),
            vec![]
        )
    );
    // An answer that nobody waits for is none.
    assert_eq!(it.accept("/random?x=1"), "");
    assert_eq!(it.refuse("/").0, "");
    let data = serde_json::json!({ "code": 1 });
    it.text("0/random");
    let refused = it
        .session
        .refuse("/random", "no", Some(&data), &mut Vec::new());
    assert_eq!(
        wire(refused.unwrap().as_ref()),
        r#"44/random,{"message":"no","data":{"code":1}}"#
    );
}

/// "The server always send a `CONNECT` packet for the default namespace (`/`) when the connection is
/// established."
#[test]
fn a_client_of_revision_4_is_in_the_main_namespace() {
    let mut it = Scene::new(V3);
    assert_eq!(it.accept("/"), "40");
    assert_eq!(
        it.text("0/admin?token=1234&uid=abcd,"),
        [asks("/admin", Some("token=1234&uid=abcd"), None)]
    );
    assert_eq!(it.accept("/admin"), "40/admin,");
    it.text("0/random");
    assert_eq!(it.refuse("/random").0, r#"44/random,"Invalid namespace""#);
}

/// "If the server does not receive a `CONNECT` packet first, then it MUST close the connection
/// immediately."
#[test]
fn whoever_is_in_no_namespace_says_nothing() {
    for packet in [r#"2["a"]"#, "31[]", "1", r#"2/other,["a"]"#] {
        let mut it = Scene::new(V4);
        assert_eq!(it.text(packet), closes(Violation::NotConnected));
        assert_eq!(it.text("0"), []);
        // Nor while it waits for the answer.
        let mut it = Scene::new(V4);
        it.text("0");
        assert_eq!(it.text(packet), closes(Violation::NotConnected));
        assert_eq!(it.accept("/"), "");
    }
    let mut it = Scene::new(V4);
    assert_eq!(it.text("4{}"), closes(Violation::OutOfPlace));
    let mut it = Scene::new(V4);
    assert_eq!(it.text("abc"), closes(Violation::Packet(DecodeError::Kind)));
}

#[test]
fn a_client_is_in_a_namespace_in_time() {
    let mut it = Scene::new(V4);
    it.text("0/random");
    it.refuse("/random");
    assert_eq!(it.tick(Duration::from_millis(44_999)), []);
    assert_eq!(
        it.session.deadline(),
        Some(it.now + Duration::from_millis(1))
    );
    let closed = it.tick(Duration::from_millis(1));
    assert_eq!(closed, closes(Violation::ConnectTimeout));
    assert_eq!(it.session.deadline(), None);
    let mut it = Scene::connected(V4);
    assert_eq!(it.session.deadline(), None);
    assert_eq!(it.tick(Duration::from_secs(60)), []);
}

#[test]
fn events_and_their_acknowledgements() {
    for revision in [V3, V4] {
        let mut it = Scene::connected(revision);
        assert_eq!(it.text(r#"2["a",1]"#), [event("/", None, r#"["a",1]"#)]);
        assert_eq!(it.text(r#"25["a"]"#), [event("/", Some(5), r#"["a"]"#)]);
        assert_eq!(it.text(PLACEHOLDER), []);
        assert_eq!(
            it.bytes(b"x"),
            [Action::Event {
                nsp: "/".into(),
                id: None,
                args: Value::packed(b"\x92\xa1a\xc4\x01x"),
            }]
        );
    }
}

#[test]
fn what_the_server_asks_for() {
    let mut it = Scene::connected(V4);
    assert_eq!(it.session.ask("/other"), None);
    assert_eq!(it.session.ask("/"), Some(0));
    assert_eq!(it.session.ask("/"), Some(1));
    assert_eq!(it.session.ask("/"), None, "too many");
    let args = Value::json(r#"["b"]"#);
    assert_eq!(it.text(r#"31["b"]"#), [Action::Acked { id: 1, args }]);
    // Once.
    assert_eq!(it.text("31[]"), []);
    it.session.forget(0);
    assert_eq!(it.text("30[]"), []);
    // Never asked for.
    assert_eq!(it.text("32[]"), closes(Violation::Ack));
}

#[test]
fn attachments_come_in_time() {
    let mut it = Scene::connected(V4);
    assert_eq!(it.text(PLACEHOLDER), []);
    assert_eq!(
        it.session.deadline(),
        Some(it.now + Duration::from_secs(10))
    );
    let closed = it.tick(Duration::from_secs(10));
    assert_eq!(closed, closes(Violation::AttachmentsTimeout));
    let mut it = Scene::connected(V4);
    it.text(PLACEHOLDER);
    it.bytes(b"x");
    assert_eq!(it.session.deadline(), None);
    it.text(PLACEHOLDER);
    assert_eq!(
        it.text(r#"2["a"]"#),
        closes(Violation::Packet(DecodeError::Text))
    );
}

/// "At any time, one side can end the connection to a namespace by sending a `DISCONNECT` packet.
/// No response is expected from the other side."
#[test]
fn a_client_leaves_or_is_put_out() {
    let mut it = Scene::connected(V4);
    it.text("0/custom,");
    it.accept("/custom");
    let left = Action::Left {
        nsp: "/custom".into(),
    };
    assert_eq!(it.text("1/custom"), [left]);
    assert_eq!(it.text(r#"2["a"]"#), [event("/", None, r#"["a"]"#)]);
    assert_eq!(it.text("0/custom,"), [asks("/custom", None, None)]);
    it.accept("/custom");
    let put_out = it.session.put_out("/custom").unwrap();
    assert_eq!(wire(put_out.as_ref()), "41/custom,");
    assert_eq!(it.session.put_out("/custom").unwrap(), None);
    // What it said before it knew is nothing; then it may ask again.
    assert_eq!(it.text(r#"2/custom,["a"]"#), []);
    assert_eq!(it.text("0/custom,"), [asks("/custom", None, None)]);
}

#[test]
fn namespaces_do_not_pile_up() {
    let mut it = Scene::connected(V4);
    assert_eq!(it.text("0"), closes(Violation::ConnectedTwice));
    let mut it = Scene::connected(V4);
    it.text("0/a");
    assert_eq!(it.text("0/a,"), closes(Violation::ConnectedTwice));
    let mut it = Scene::connected(V4);
    it.text("0/a");
    it.text("0/b");
    assert_eq!(it.text("0/c"), closes(Violation::Refusals));
    let mut it = Scene::new(V4);
    for _ in 0..2 {
        it.text("0/a");
        assert_eq!(it.refuse("/a").1, []);
    }
    it.text("0/a");
    assert_eq!(it.refuse("/a").1, closes(Violation::Refusals));
}

#[test]
fn messagepack_is_answered_in_messagepack() {
    let mut it = Scene::new(V4);
    let asked = it.bytes(b"\x83\xa4type\x00\xa4data\xd4\x00\x00\xa3nsp\xa1/");
    assert_eq!(asked, [asks("/", None, None)]);
    let answer = it.session.accept("/", "s1", None).unwrap().unwrap();
    let expected = b"\x83\xa4type\x00\xa3nsp\xa1/\xa4data\x81\xa3sid\xa2s1";
    assert_eq!(answer.body(), &expected[..]);
    assert!(!answer.is_text());
}

proptest! {
    #[test]
    fn any_messages_in_any_order(messages in prop::collection::vec(0..16usize, 0..60)) {
        const TEXTS: &[&str] = &[
            "0", "0/a", "0/b,{}", "0/c", "0/d", "1", "1/a", "2[\"x\"]", "21[\"x\"]", "30[]",
            "31[]", "2/a,[\"x\"]", PLACEHOLDER, "x",
        ];
        let mut it = Scene::new(V4);
        let mut is_closed = false;
        for message in messages {
            let actions = match message {
                14 => it.bytes(b"x"),
                15 => {
                    let _ = it.session.ask("/");
                    it.tick(Duration::from_secs(1))
                }
                text => it.text(TEXTS[text]),
            };
            prop_assert!(actions.is_empty() || !is_closed);
            for action in actions {
                match action {
                    Action::Connect { nsp, .. } if nsp == "/" || nsp == "/a" => {
                        it.accept(&nsp);
                    }
                    Action::Connect { nsp, .. } => is_closed |= !it.refuse(&nsp).1.is_empty(),
                    Action::Close(_) => is_closed = true,
                    _ => {}
                }
            }
            prop_assert!(it.session.namespaces.len() <= settings().namespaces);
            prop_assert!(it.session.awaited.len() <= settings().awaited);
        }
    }
}
