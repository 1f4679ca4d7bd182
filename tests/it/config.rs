//! Settings: which layer wins, what is refused, and how it is said.

mod command;
mod redis;
mod replicas;

use std::io::Write as _;

use hubbub::config::{Config, ConfigError, Origin, Problem};
use tempfile::NamedTempFile;

fn file(text: &str) -> NamedTempFile {
    let mut file = NamedTempFile::new().expect("a temporary file");
    file.write_all(text.as_bytes()).expect("written");
    file
}

fn load(text: &str, env: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let file = file(text);
    let env = env
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Config::from_sources(Some(file.path()), env)
}

fn problems(text: &str, env: &[(&str, &str)]) -> Vec<Problem> {
    match load(text, env) {
        Err(ConfigError::Refused(problems)) => problems,
        other => panic!("not refused: {other:?}"),
    }
}

/// The only problem, with its key and a part of what is said about it and of what is allowed.
fn assert_refused(text: &str, env: &[(&str, &str)], key: &str, what: &str, allowed: &str) {
    let problems = problems(text, env);
    let [problem] = problems.as_slice() else {
        panic!("{problems:?}");
    };
    assert_eq!(problem.key, key);
    assert!(problem.what.contains(what), "{problem}");
    assert!(problem.allowed.contains(allowed), "{problem}");
    match (&problem.origin, env) {
        (Origin::Variable(name), [(variable, _)]) => assert_eq!(name, variable),
        (Origin::File(_), []) => {}
        (origin, _) => panic!("set by {origin}"),
    }
}

#[test]
fn later_layers_win() {
    let text = "[http]\nbind = \"127.0.0.1:1\"\nworkers = 3\n[node]\nid = \"file\"\n";
    let env = [
        ("HUBBUB__HTTP__BIND", "[::1]:2"),
        ("HUBBUB__LIMITS__EXEMPT", "127.0.0.0/8, ::1/128,"),
        ("HUBBUB__JOURNAL__QUEUE_MAX_EVENTS", "10_000"),
        ("HUBBUB__DATA_DIR", "/srv/hubbub"),
        ("HUBBUB__DATABASE__EMBEDDED__USER", "pg"),
        ("DATABASE_URL", "postgres://a:b@c/d"),
        ("LOG_QUERIES", "on"),
        ("HUBBUB_TEST_LONG", "1"),
        ("HOME", "/root"),
    ];
    let config = load(text, &env).expect("accepted");
    assert_eq!(config.http.bind.to_string(), "[::1]:2");
    assert_eq!(config.http.workers, 3);
    assert_eq!(config.http.backlog, 2048);
    assert_eq!(config.node.id, "file");
    assert_eq!(config.node.data_dir.to_str(), Some("/srv/hubbub"));
    assert_eq!(config.limits.exempt.len(), 2);
    assert_eq!(config.journal.queue_max_events, 10_000);
    assert_eq!(config.database.embedded.user, "pg");
    assert_eq!(config.database.url.as_deref(), Some("postgres://a:b@c/d"));
    assert!(config.database.log_queries);
    assert!(config.notices().is_empty(), "{:?}", config.notices());
}

#[test]
fn the_environment_may_name_the_file() {
    let file = file("[node]\nid = \"named\"\n");
    let path = file.path().to_str().expect("UTF-8").to_owned();
    let env = [("HUBBUB__CONFIG".to_owned(), path)];
    let config = Config::from_sources(None, env.into_iter()).expect("accepted");
    assert_eq!(config.node.id, "named");
}

#[test]
fn the_systematic_name_wins_over_the_short_one() {
    let long = ("HUBBUB__DATABASE__URL", "postgres://long/d");
    let config = load("", &[("DATABASE_URL", "postgres://short/d"), long]).expect("accepted");
    assert_eq!(config.database.url.as_deref(), Some(long.1));
    let notices = config.notices().join("\n");
    assert!(notices.contains("DATABASE_URL is ignored"), "{notices}");
    assert!(!notices.contains("short"), "{notices}");
}

#[test]
fn an_empty_text_is_none() {
    let config = load(
        "[database]\nurl = \"postgres://a/b\"\n",
        &[("DATABASE_URL", "")],
    );
    assert_eq!(config.expect("accepted").database.url, None);
}

#[test]
fn a_misspelt_key_is_refused() {
    let what = "there is no such key; did you mean http.bind?";
    assert_refused(
        "[http]\nbnd = \"127.0.0.1:1\"",
        &[],
        "http.bnd",
        what,
        "bind, workers",
    );
    assert_refused(
        "",
        &[("HUBBUB__HTTP__BND", "x")],
        "http.bnd",
        what,
        "bind, workers",
    );
    assert_refused(
        "",
        &[("HUBBUB__HTTP__BIND__X", "1")],
        "http.bind.x",
        what,
        "bind, workers",
    );
    let what = "did you mean database.embedded.bin_dir?";
    let allowed = "the keys of database.embedded: bin_dir";
    let text = "[database.embedded]\nbindir = \"/\"";
    assert_refused(text, &[], "database.embedded.bindir", what, allowed);
}

#[test]
fn an_unknown_section_is_refused() {
    let allowed = "the sections http, node";
    assert_refused(
        "[htpt]\nbind = 1",
        &[],
        "htpt",
        "did you mean http?",
        allowed,
    );
    assert_refused(
        "bind = \"x\"",
        &[],
        "bind",
        "did you mean http.bind?",
        allowed,
    );
    let env = [("HUBBUB__ELSEWHERE__URL", "x")];
    assert_refused(
        "",
        &env,
        "elsewhere.url",
        "there is no such section",
        allowed,
    );
    assert_refused(
        "http = 1",
        &[],
        "http",
        "this is a section",
        "bind, workers",
    );
}

#[test]
fn a_value_of_the_wrong_kind_is_refused() {
    for (line, env, key, what, allowed) in [
        (
            "[http]\nworkers = \"two\"",
            "two",
            "http.workers",
            "whole number",
            "0 to 1024",
        ),
        (
            "[http]\nworkers = -1",
            "-1",
            "http.workers",
            "-1 is out of range",
            "0 to 1024",
        ),
        (
            "[http]\nworkers = 1025",
            "1025",
            "http.workers",
            "too large",
            "0 to 1024",
        ),
        (
            "[http]\nbind = \"host\"",
            "host",
            "http.bind",
            "\"host\"",
            "an address and a port",
        ),
        (
            "[http]\npublic_url = \"x\"",
            "x",
            "http.public_url",
            "not an origin",
            "a URL",
        ),
        (
            "[http]\nallowed_origins = [\"*\"]",
            "*",
            "http.allowed_origins",
            "\"*\" is not an origin",
            "a list of origins",
        ),
        (
            "[node]\nid = \"a b\"",
            "a b",
            "node.id",
            "other characters",
            "64",
        ),
        (
            "[limits]\nexempt = [\"10.0.0.1\"]",
            "10.0.0.1",
            "limits.exempt[0]",
            "\"10.0.0.1\"",
            "a list of networks",
        ),
        (
            "[auth]\ncookie_secure = \"yes\"",
            "yes",
            "auth.cookie_secure",
            "\"yes\" is none of the choices",
            "\"auto\", \"always\" or \"never\"",
        ),
        (
            "[database]\nrequire_fsync = \"often\"",
            "often",
            "database.require_fsync",
            "true",
            "true or false",
        ),
        (
            "[telemetry]\nlog = \"hubbub=loud\"",
            "hubbub=loud",
            "telemetry.log",
            "is not a filter",
            "a filter",
        ),
    ] {
        assert_refused(line, &[], key, what, allowed);
        let name = key.split('[').next().expect("a key");
        let variable = format!("HUBBUB__{}", name.to_uppercase().replace('.', "__"));
        assert_refused("", &[(&variable, env)], key, what, allowed);
    }
}

#[test]
fn values_that_contradict_each_other_are_refused() {
    for (name, value, what) in [
        (
            "DATABASE__POOL_MIN",
            "60",
            "60 is larger than database.pool_max, which is 50",
        ),
        (
            "DATABASE__POOL_MAX",
            "5",
            "10 is larger than database.pool_max, which is 5",
        ),
        (
            "LIMITS__MESSAGE_BYTES",
            "2000000",
            "larger than websocket.max_message_bytes",
        ),
        (
            "HTTP__MAX_BODY_BYTES",
            "2000",
            "larger than http.max_body_bytes",
        ),
        (
            "JOURNAL__BATCH_MAX_BYTES",
            "2000",
            "larger than journal.batch_max_bytes",
        ),
        (
            "JOURNAL__QUEUE_MAX_EVENTS",
            "8",
            "smaller than journal.batch_max_events",
        ),
        (
            "JOURNAL__LOCK_TIMEOUT_MS",
            "5000",
            "not below journal.flight_timeout_ms",
        ),
        (
            "JOURNAL__PATIENT_LOCK_TIMEOUT_MS",
            "10",
            "larger than journal.patient",
        ),
        (
            "WEBSOCKET__OUTBOX_MAX_BYTES",
            "500000",
            "smaller than websocket.max_message_bytes",
        ),
        (
            "WEBSOCKET__EPHEMERAL_MAX_BYTES",
            "2000000",
            "larger than websocket.outbox_max_bytes",
        ),
        ("WEBSOCKET__SEND_BUFFER_BYTES", "1", "1 is too small"),
        ("AUTH__ARGON2_MEMORY_KIB", "7", "too small"),
        ("AUTH__TICKET_TTL_S", "61", "61 is too large"),
        ("HTTP__TRUSTED_PROXIES", "0.0.0.0/0", "is everybody"),
        ("HTTP__TRUSTED_PROXIES", "::/0", "is everybody"),
        (
            "HTTP__TRUSTED_PROXIES",
            "::ffff:10.0.0.0/104",
            "without ::ffff:",
        ),
        ("LIMITS__EXEMPT", "::ffff:10.0.0.1/128", "without ::ffff:"),
        ("HTTP__SHUTDOWN_GRACE_MS", "11000", "which are 12000"),
        ("JOURNAL__BATCH_MAX_EVENTS", "0", "0 is too small"),
        ("DATABASE__ACQUIRE_TIMEOUT_MS", "0", "0 is too small"),
    ] {
        let mut problems = problems("", &[(&format!("HUBBUB__{name}"), value)]);
        // Others that must not be smaller than the longest message.
        problems.retain(|it| !(name == "LIMITS__MESSAGE_BYTES" && it.key.starts_with("socketio.")));
        assert_eq!(problems.len(), 1, "{name}: {problems:?}");
        assert!(problems[0].what.contains(what), "{name}: {}", problems[0]);
    }
    let env = [
        ("HUBBUB__AUTH__ARGON2_MEMORY_KIB", "16"),
        ("HUBBUB__AUTH__ARGON2_PARALLELISM", "4"),
    ];
    let found = problems("", &env);
    assert!(found[0].what.contains("which is 32"), "{}", found[0]);
}

#[test]
fn everything_wrong_is_said_at_once() {
    let found = problems("[http]\nbnd = 1\nworkers = \"x\"", &[("HUBBUB__X", "1")]);
    let keys: Vec<&str> = found.iter().map(|problem| problem.key.as_str()).collect();
    assert_eq!(keys, ["http.bnd", "http.workers", "x"]);
}

#[test]
fn a_file_that_is_no_toml_names_the_line_but_not_what_is_in_it() {
    let error = load("[database]\nurl = \"postgres://u:secret@h\n", &[]).expect_err("refused");
    let said = error.to_string();
    assert!(said.contains(":2: not valid TOML"), "{said}");
    assert!(!said.contains("secret"), "{said}");
}

#[test]
fn a_password_is_in_no_output() {
    for url in ["postgres://u:secret@h/d", "host=h user=u password=secret"] {
        let config = load("", &[("DATABASE_URL", url)]).expect("accepted");
        for text in [config.redacted_toml(), format!("{config:?}")] {
            assert!(text.contains("***"), "{text}");
            assert!(!text.contains("secret"), "{text}");
        }
    }
    let problems = problems("", &[("DATABASE_URL", "postgres://u:secret@h:port/d")]);
    assert!(
        !problems[0].to_string().contains("secret"),
        "{}",
        problems[0]
    );
}
