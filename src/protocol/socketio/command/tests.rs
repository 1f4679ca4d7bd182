use super::*;
use crate::protocol::body::Body;
use crate::protocol::native::decode_request;

fn json(args: &str) -> Result<Command, Refusal> {
    command(&Value::json(args), 100)
}

/// An event is what the native protocol's request of that name is.
#[test]
fn events_are_commands() {
    for (args, request) in [
        (
            r#"["join",{"room":"general","since":12,"epoch":1}]"#,
            r#"{"cmd":"join","room":"general","since":12,"epoch":1}"#,
        ),
        (
            r#"["publish",{"room":"general","body":"hi","client_id":"c1"}]"#,
            r#"{"cmd":"publish","room":"general","body":"hi","client_id":"c1"}"#,
        ),
        (
            r#"["emit",{"room":"general","name":"cursor","data":{"x":1},"volatile":true}]"#,
            r#"{"cmd":"emit","room":"general","name":"cursor","data":{"x":1},"volatile":true}"#,
        ),
        (
            r#"["message.react",{"room":"g","message_id":"00000000-0000-0000-0000-000000000001","emoji":"+1"}]"#,
            r#"{"cmd":"message.react","room":"g","message_id":"00000000-0000-0000-0000-000000000001","emoji":"+1"}"#,
        ),
        (r#"["ping"]"#, r#"{"cmd":"ping"}"#),
        (r#"["ping",{}]"#, r#"{"cmd":"ping"}"#),
        // What the request's own fields would be means nothing here.
        (
            r#"["leave",{"room":"g","cmd":"join","id":[]}]"#,
            r#"{"cmd":"leave","room":"g"}"#,
        ),
    ] {
        let native = decode_request(request, 100).unwrap().command;
        assert_eq!(json(args), Ok(native), "{args}");
    }
}

#[test]
fn bytes_stay_bytes() {
    let args = b"\x92\xa7publish\x83\xa4room\xa1g\xa4body\xc4\x02\x00\xff\xa9client_id\xa1c";
    let read = command(&Value::packed(args), 100);
    let Ok(Command::Publish { body, .. }) = read else {
        panic!("{read:?}")
    };
    assert_eq!(body, Body::Bytes([0, 255].into()));
}

#[test]
fn what_is_no_command_is_refused_by_its_name() {
    for (args, code, says) in [
        (r#"["dance",{}]"#, ErrorCode::UnknownCommand, "no command"),
        ("[5,{}]", ErrorCode::UnknownCommand, "string"),
        (r#"["join"]"#, ErrorCode::InvalidRequest, "`room`"),
        (r#"["join",[]]"#, ErrorCode::InvalidRequest, "object"),
        (r#"["join","general"]"#, ErrorCode::InvalidRequest, "object"),
        (r#"["join",null]"#, ErrorCode::InvalidRequest, "object"),
        (
            r#"["join",{"room":"g"},1]"#,
            ErrorCode::InvalidRequest,
            "one argument",
        ),
        (
            r#"["join",{"room":5}]"#,
            ErrorCode::InvalidRequest,
            "`room`",
        ),
        (
            r#"["join",{"room":"a","room":"b"}]"#,
            ErrorCode::InvalidRequest,
            "twice",
        ),
    ] {
        let refusal = json(args).unwrap_err();
        assert_eq!(refusal.code, code, "{args}");
        assert!(refusal.message.contains(says), "{args}: {refusal}");
    }
    let deep = format!(
        r#"["emit",{{"room":"g","name":"n","data":{}{}}}]"#,
        "[".repeat(10_000),
        "]".repeat(10_000)
    );
    let refusal = command(&Value::json(&deep), 100_000).unwrap_err();
    assert_eq!(refusal.code, ErrorCode::InvalidRequest);
    assert_eq!(name(&Value::json(r#"["join",1]"#)).as_deref(), Some("join"));
    assert_eq!(name(&Value::json("[1]")), None);
}
