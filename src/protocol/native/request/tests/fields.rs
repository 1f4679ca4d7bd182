//! Each field of each command.

use super::*;

/// The fields of each command, with what is wanted in them.
const FIELDS: &[(&str, &[(&str, &str)])] = &[
    (
        "join",
        &[("room", "text"), ("since", "number"), ("epoch", "number")],
    ),
    ("leave", &[("room", "text")]),
    (
        "publish",
        &[
            ("room", "text"),
            ("body", "text"),
            ("encoding", "encoding"),
            ("client_id", "text"),
            ("thread", "id"),
            ("mentions", "ids"),
        ],
    ),
    (
        "message.edit",
        &[
            ("room", "text"),
            ("message_id", "id"),
            ("body", "text"),
            ("encoding", "encoding"),
            ("client_id", "text"),
        ],
    ),
    (
        "message.delete",
        &[
            ("room", "text"),
            ("message_id", "id"),
            ("client_id", "text"),
        ],
    ),
    (
        "message.react",
        &[
            ("room", "text"),
            ("message_id", "id"),
            ("emoji", "text"),
            ("remove", "flag"),
            ("client_id", "text"),
        ],
    ),
    (
        "message.pin",
        &[
            ("room", "text"),
            ("message_id", "id"),
            ("pinned", "flag"),
            ("client_id", "text"),
        ],
    ),
    (
        "history",
        &[
            ("room", "text"),
            ("before", "number"),
            ("limit", "number"),
            ("thread", "id"),
        ],
    ),
    ("typing", &[("room", "text"), ("typing", "flag")]),
    (
        "emit",
        &[
            ("room", "text"),
            ("name", "text"),
            ("data", "any"),
            ("volatile", "flag"),
            ("client_id", "text"),
        ],
    ),
    ("presence", &[("room", "text")]),
    ("auth.refresh", &[("token", "text")]),
];

/// Every field of every command with every wrong type is refused by its name, with the id.
#[test]
fn wrong_types_are_named() {
    for &(cmd, fields) in FIELDS {
        let request = |spoilt: &str, value: Option<&serde_json::Value>| {
            let mut request = json!({"id": "q", "cmd": cmd});
            for (name, kind) in fields {
                request[*name] = match *kind {
                    "text" => json!("general"),
                    "encoding" => json!(null),
                    "number" => json!(1),
                    "flag" => json!(true),
                    "id" => json!(Uuid::nil()),
                    "ids" => json!([Uuid::nil()]),
                    _ => json!({"a": 1}),
                };
            }
            if let Some(value) = value {
                request[spoilt] = value.clone();
            } else if let Some(object) = request.as_object_mut() {
                object.remove(spoilt);
            }
            read(&request.to_string())
        };
        for (name, kind) in fields {
            for value in [
                json!("x"),
                json!(1),
                json!(1.5),
                json!(-1e40),
                json!(true),
                json!([]),
                json!({}),
            ] {
                let fits = match *kind {
                    "text" => value.is_string(),
                    "number" => value == json!(1),
                    "flag" => value.is_boolean(),
                    "id" | "encoding" => false,
                    "ids" => value == json!([]),
                    _ => true,
                };
                match request(name, Some(&value)) {
                    Ok(_) => assert!(fits, "{cmd}.{name} = {value}"),
                    Err(error) => {
                        assert!(!fits, "{cmd}.{name} = {value}: {error}");
                        assert_eq!(error.id, Some(RequestId::Text("q".into())));
                        assert_eq!(error.refusal.code, ErrorCode::InvalidRequest);
                        assert!(error.refusal.message.starts_with(&format!("`{name}` ")));
                    }
                }
            }
            let optional = [
                "since", "epoch", "before", "limit", "typing", "volatile", "thread", "mentions",
                "remove", "encoding",
            ];
            let is_optional = optional.contains(name) || (cmd != "publish" && *name == "client_id");
            match request(name, None) {
                Ok(_) => assert!(is_optional, "{cmd} without {name}"),
                Err(error) => {
                    assert!(!is_optional, "{cmd} without {name}");
                    assert_eq!(error.refusal.message, format!("`{name}` is missing"));
                }
            }
            let null = request(name, Some(&json!(null)));
            assert_eq!(null.is_ok(), is_optional || *name == "data");
        }
    }
}
