//! `database.replica_urls`.

use super::load;

const KEY: &str = "database.replica_urls";
const URLS: &str = "HUBBUB__DATABASE__REPLICA_URLS";
const PRIMARY: (&str, &str) = ("DATABASE_URL", "postgres://u:secret@h/d");

#[test]
fn replicas_may_be_several_and_their_passwords_are_not_shown() {
    let config = load("", &[]).expect("accepted");
    assert!(config.database.replica_urls.is_empty());
    let urls = "postgres://u:secret@r/d, host=s password=secret";
    let config = load("", &[PRIMARY, (URLS, urls)]).expect("accepted");
    assert_eq!(
        config.database.replica_places(),
        ["postgres://u:***@r/d", "host=s password=***"]
    );
    let shown = format!("{:?} {}", config.database, config.redacted_toml());
    assert!(!shown.contains("secret"), "{shown}");
    assert!(shown.contains("@r/d"), "{shown}");
}

#[test]
fn replicas_that_cannot_be_used_are_refused_by_their_key() {
    let many = vec!["host=r"; 17].join(",");
    let slow = ("HUBBUB__DATABASE__REPLICA_TIMEOUT_MS", "1501");
    let bad = "postgres://u@r/d,mysql://u:secret@s";
    for (env, key, what) in [
        (
            vec![PRIMARY, (URLS, bad)],
            KEY,
            "number 2 is not a connection",
        ),
        (vec![PRIMARY, (URLS, &many)], KEY, "17 are too many"),
        (vec![(URLS, "host=r")], KEY, "no database.url"),
        (
            vec![PRIMARY, (URLS, "host=r"), slow],
            "database.replica_timeout_ms",
            "larger than half of cache.load_timeout_ms",
        ),
    ] {
        let error = load("", &env).expect_err(what).to_string();
        assert!(error.contains(key) && error.contains(what), "{error}");
        assert!(!error.contains("secret"), "{error}");
    }
    load("", &[slow]).expect("without replicas it does not matter");
}
