use super::*;

const ALL: Offered = Offered {
    polling: true,
    websocket: true,
    revision_3: true,
};

const GET: Method = Method::Get { is_upgrade: false };
const UPGRADE: Method = Method::Get { is_upgrade: true };

fn read(query: &str, offered: Offered) -> Result<Query, HandshakeError> {
    let pairs = query.split('&').filter(|it| !it.is_empty());
    let pairs = pairs.map(|it| it.split_once('=').unwrap_or((it, "")));
    Query::read(
        pairs.map(|(name, value)| (name.into(), value.into())),
        offered,
    )
}

#[test]
fn refusals_have_the_documented_codes_and_bodies() {
    let bodies: Vec<_> = HandshakeError::ALL.iter().map(|it| it.body()).collect();
    assert_eq!(
        bodies,
        [
            r#"{"code":0,"message":"Transport unknown"}"#,
            r#"{"code":1,"message":"Session ID unknown"}"#,
            r#"{"code":2,"message":"Bad handshake method"}"#,
            r#"{"code":3,"message":"Bad request"}"#,
            r#"{"code":4,"message":"Forbidden"}"#,
            r#"{"code":5,"message":"Unsupported protocol version"}"#,
        ]
    );
    let statuses: Vec<_> = HandshakeError::ALL.iter().map(|it| it.status()).collect();
    assert_eq!(statuses, [400, 400, 400, 400, 403, 400]);
}

/// "If a mandatory query parameter is missing, then the server MUST respond with an HTTP 400 error
/// status."
#[test]
fn what_is_mandatory_must_be_there() {
    for (query, error) in [
        ("", HandshakeError::UnknownTransport),
        ("EIO=4", HandshakeError::UnknownTransport),
        ("EIO=4&transport=abc", HandshakeError::UnknownTransport),
        (
            "EIO=4&transport=webtransport",
            HandshakeError::UnknownTransport,
        ),
        ("EIO=4&transport=Polling", HandshakeError::UnknownTransport),
        ("transport=polling", HandshakeError::UnsupportedVersion),
        (
            "EIO=abc&transport=polling",
            HandshakeError::UnsupportedVersion,
        ),
        (
            "EIO=5&transport=polling",
            HandshakeError::UnsupportedVersion,
        ),
        (
            "EIO=04&transport=polling",
            HandshakeError::UnsupportedVersion,
        ),
        ("EIO=&transport=polling", HandshakeError::UnsupportedVersion),
        ("EIO=4&EIO=3&transport=polling", HandshakeError::BadRequest),
        (
            "EIO=4&transport=polling&sid=a&sid=b",
            HandshakeError::BadRequest,
        ),
        // JSONP.
        ("EIO=3&transport=polling&j=0", HandshakeError::BadRequest),
    ] {
        assert_eq!(read(query, ALL), Err(error), "{query}");
        assert_eq!(error.status(), 400);
    }
    let long = format!(
        "EIO=4&transport=polling&sid={}",
        "x".repeat(SID_MAX_BYTES + 1)
    );
    assert_eq!(read(&long, ALL), Err(HandshakeError::UnknownSid));
}

#[test]
fn what_is_switched_off_is_not_there() {
    let offered = Offered {
        polling: false,
        websocket: true,
        revision_3: false,
    };
    assert_eq!(
        read("EIO=4&transport=polling", offered),
        Err(HandshakeError::UnknownTransport)
    );
    assert_eq!(
        read("EIO=3&transport=websocket", offered),
        Err(HandshakeError::UnsupportedVersion)
    );
    assert!(read("EIO=4&transport=websocket", offered).is_ok());
}

#[test]
fn a_query_is_read() {
    let query = read("EIO=3&transport=polling&t=N8hyd6w&b64=1&token=x", ALL);
    let expected = Query {
        revision: Revision::V3,
        transport: Transport::Polling,
        sid: None,
        takes_bytes: false,
        stamp: query.as_ref().unwrap().stamp,
    };
    assert_eq!(query, Ok(expected));
    let stamp = |query| read(query, ALL).unwrap().stamp;
    let of = "EIO=4&transport=polling&t=N8hyd6w";
    assert!(stamp(of).is_some());
    assert_eq!(stamp(of), stamp("t=N8hyd6w&EIO=3&transport=polling&b64=1"));
    assert_ne!(stamp(of), stamp("EIO=4&transport=polling&t=N8hyd6x"));
    assert_eq!(stamp("EIO=4&transport=polling"), None);
    let query = read("sid=n1~x&transport=websocket&EIO=4", ALL).unwrap();
    assert_eq!(query.sid.as_deref(), Some("n1~x"));
    assert!(query.takes_bytes);
}

#[test]
fn what_a_request_is_for() {
    let known = |transport, revision| {
        move |sid: &str| {
            (sid == "a").then_some(Known {
                revision,
                transport,
            })
        }
    };
    let polling = known(Transport::Polling, Revision::V4);
    let websocket = known(Transport::Websocket, Revision::V4);
    let ask = |query: &str, method, known: &dyn Fn(&str) -> Option<Known>| {
        read(query, ALL).unwrap().purpose(method, known)
    };
    let nobody = |_: &str| None;
    let poll = "EIO=4&transport=polling";
    let socket = "EIO=4&transport=websocket";
    let poll_a = "EIO=4&transport=polling&sid=a";
    let socket_a = "EIO=4&transport=websocket&sid=a";
    let bad = Err(HandshakeError::BadRequest);

    assert_eq!(ask(poll, GET, &nobody), Ok(Purpose::Open));
    assert_eq!(ask(socket, UPGRADE, &nobody), Ok(Purpose::Open));
    for method in [Method::Post, Method::Other] {
        for query in [poll, socket] {
            let error = HandshakeError::BadHandshakeMethod;
            assert_eq!(ask(query, method, &nobody), Err(error));
        }
    }
    assert_eq!(ask(poll, UPGRADE, &nobody), bad);
    assert_eq!(ask(socket, GET, &nobody), bad);

    // "The server MUST return an HTTP 400 response if the session ID is not known."
    for (query, method) in [(poll_a, GET), (poll_a, Method::Post), (socket_a, UPGRADE)] {
        assert_eq!(ask(query, method, &nobody), Err(HandshakeError::UnknownSid));
    }
    assert_eq!(ask(poll_a, GET, &polling), Ok(Purpose::Poll));
    assert_eq!(ask(poll_a, Method::Post, &polling), Ok(Purpose::Post));
    assert_eq!(ask(poll_a, Method::Other, &polling), bad);
    assert_eq!(ask(socket_a, UPGRADE, &polling), Ok(Purpose::Upgrade));
    assert_eq!(ask(socket_a, GET, &polling), bad);
    assert_eq!(ask(poll_a, UPGRADE, &polling), bad);
    // After the change there is no polling. A second WebSocket is accepted, and closed by the
    // session.
    assert_eq!(ask(poll_a, GET, &websocket), bad);
    assert_eq!(ask(poll_a, Method::Post, &websocket), bad);
    assert_eq!(ask(socket_a, UPGRADE, &websocket), Ok(Purpose::Upgrade));
    // A session does not change its revision.
    let older = known(Transport::Polling, Revision::V3);
    assert_eq!(ask(poll_a, GET, &older), bad);
}
