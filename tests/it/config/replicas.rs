//! `database.replica_urls`.

use super::{assert_refused, load};

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
    let with = |urls| [PRIMARY, (URLS, urls)];
    let bad = with("postgres://u@r/d,mysql://u:secret@s");
    assert_refused("", &bad, KEY, "number 2 is not a connection", "up to 16");
    let error = load("", &bad).expect_err("refused").to_string();
    assert!(!error.contains("secret"), "{error}");
    let many = vec!["host=r"; 17].join(",");
    assert_refused("", &with(&many), KEY, "17 are too many", "up to 16");
    let alone = [(URLS, "host=r")];
    assert_refused("", &alone, KEY, "no database.url", "database.url set");
    let slow = ("HUBBUB__DATABASE__REPLICA_TIMEOUT_MS", "1501");
    let key = "database.replica_timeout_ms";
    let what = "larger than half of cache.load_timeout_ms";
    assert_refused("", &[PRIMARY, (URLS, "host=r"), slow], key, what, "half of");
    load("", &[slow]).expect("without replicas it does not matter");
}
