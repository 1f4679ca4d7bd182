//! The section `redis`.

use super::load;

#[test]
fn redis_may_be_one_or_several_and_its_passwords_are_not_shown() {
    let url = "rediss://u:se,cret@r:1, rediss://:secret@s";
    let config = load("", &[("REDIS_URL", url)]).expect("accepted");
    assert_eq!(
        config.redis.addresses(),
        ["rediss://u:se,cret@r:1", "rediss://:secret@s"]
    );
    assert_eq!(config.redis.servers(), ["r:1", "s:6379"]);
    assert!(config.redis.is_cluster());
    let shown = format!("{:?} {}", config.redis, config.redacted_toml());
    assert!(!shown.contains("cret"), "{shown}");
    let config = load("", &[]).expect("accepted");
    assert!(config.redis.url.is_none() && !config.redis.is_cluster());
}

#[test]
fn a_redis_that_cannot_be_used_is_refused_by_its_key() {
    for (url, what) in [
        ("secret", "not an address"),
        ("http://:secret@r", "not an address"),
        ("redis://:secret@r:port", "not an address"),
        ("rediss://:secret@r#insecure", "not of the form"),
        (
            "redis://:secret@r,rediss://s",
            "some addresses are with TLS",
        ),
        (
            "redis://:secret@r/1,redis://s",
            "a cluster has no databases",
        ),
    ] {
        let error = load("", &[("REDIS_URL", url)]).expect_err(url).to_string();
        assert!(
            error.contains("redis.url") && error.contains(what),
            "{error}"
        );
        assert!(!error.contains("secret"), "{error}");
    }
    for (key, value, what) in [
        ("CHANNEL_PREFIX", "{a}", "other characters"),
        ("TLS_CA", "/ca.pem", "not with TLS"),
        (
            "RECONNECT_MIN_MS",
            "5000",
            "larger than redis.reconnect_max_ms",
        ),
        (
            "ENVELOPE_MAX_BYTES",
            "100000",
            "smaller than twice journal.batch_max_bytes",
        ),
        ("PUBLISH_QUEUE_BYTES", "1", "too small"),
    ] {
        let name = format!("HUBBUB__REDIS__{key}");
        let env = [("REDIS_URL", "redis://r"), (&name, value)];
        let error = load("", &env).expect_err(key).to_string();
        let key = format!("redis.{}", key.to_lowercase());
        assert!(error.contains(&key) && error.contains(what), "{error}");
    }
}
