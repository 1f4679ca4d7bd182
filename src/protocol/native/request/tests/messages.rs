//! Changes of messages, threads and mentions.

use super::*;

#[test]
fn changes_of_messages() {
    let (message_id, user) = (EventId(Uuid::from_u128(7)), UserId(Uuid::from_u128(8)));
    let change = |name: &str, fields: &str| {
        good(&format!(
            r#"{{"cmd":"message.{name}","room":"general","message_id":"{message_id}"{fields}}}"#
        ))
    };
    let expected = |change, client_id: Option<&str>| Command::Change {
        room: general(),
        message_id,
        change,
        client_id: client_id.map(Into::into),
    };
    assert_eq!(
        change("edit", r#","body":"a\nb","client_id":"c""#),
        expected(
            MessageChange::Edit {
                body: "a\nb".into()
            },
            Some("c")
        )
    );
    assert_eq!(change("delete", ""), expected(MessageChange::Delete, None));
    let react = |remove| MessageChange::React {
        emoji: "+1".into(),
        remove,
    };
    assert_eq!(
        change("react", r#","emoji":"+1""#),
        expected(react(false), None)
    );
    assert_eq!(
        change("react", r#","emoji":"+1","remove":true"#),
        expected(react(true), None)
    );
    assert_eq!(
        change("pin", r#","pinned":false"#),
        expected(MessageChange::Pin { pinned: false }, None)
    );
    let unknown = bad(r#"{"cmd":"message.eat","room":"general","message_id":"x"}"#);
    assert_eq!(unknown.0, "unknown_command");

    let reply = format!(
        r#"{{"cmd":"publish","room":"general","body":"a","client_id":"c","thread":"{message_id}",
            "mentions":["{user}","{user}"]}}"#
    );
    let Command::Publish {
        thread, mentions, ..
    } = good(&reply)
    else {
        panic!("no publish");
    };
    assert_eq!((thread, mentions), (Some(message_id), vec![user]));
}

#[test]
fn emojis_and_mentions_are_bounded() {
    let react = |emoji: &str| {
        let (room, message_id) = ("general", Uuid::nil());
        let request =
            json!({"cmd": "message.react", "room": room, "message_id": message_id, "emoji": emoji});
        read(&request.to_string())
    };
    assert!(react(&"x".repeat(64)).is_ok());
    for (emoji, code) in [
        ("x".repeat(65), "invalid_request"),
        (String::new(), "invalid_request"),
        ("\n".into(), "invalid_text"),
    ] {
        let refusal = react(&emoji).unwrap_err().refusal;
        assert_eq!(refusal.code.as_str(), code, "{emoji:?}");
    }
    let publish = |users: usize| {
        let users: Vec<_> = (0..users as u128).map(Uuid::from_u128).collect();
        let (room, body) = ("general", "a");
        let request = json!({"cmd": "publish", "room": room, "body": body, "client_id": "c", "mentions": users});
        read(&request.to_string())
    };
    assert!(publish(50).is_ok());
    let refusal = publish(51).unwrap_err().refusal;
    assert_eq!(
        refusal.message,
        "`mentions` must be a list of at most 50 users' ids"
    );
}
