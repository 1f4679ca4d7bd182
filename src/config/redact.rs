//! Takes the passwords out of connection strings.

/// Stands where a secret was.
const HIDDEN: &str = "***";

/// `url` with its password replaced, in either of the two forms that Postgres knows
/// (`postgres://user:password@host/name?password=…` and `host=… password=…`).
pub(super) fn database_url(url: &str) -> String {
    match url.split_once("://") {
        Some((scheme, rest)) => uri(scheme, rest),
        None => key_values(url),
    }
}

/// The addresses of Redis with their passwords replaced. A comma may be a part of a password, so
/// the text is parted only where the next address begins.
pub(super) fn redis_url(urls: &str) -> String {
    let addresses = redis_addresses(urls);
    let shown = addresses.iter().map(|url| match url.split_once("://") {
        Some((scheme, rest)) => uri(scheme, rest),
        // Nothing of it can be relied upon.
        None => HIDDEN.to_owned(),
    });
    shown.collect::<Vec<_>>().join(",")
}

/// The single addresses of a list that is separated by commas.
pub(super) fn redis_addresses(urls: &str) -> Vec<&str> {
    let begins = |text: &str| {
        let text = text.trim_start();
        text.starts_with("redis://") || text.starts_with("rediss://")
    };
    let mut addresses = Vec::new();
    let mut start = 0;
    for (comma, _) in urls.match_indices(',') {
        if begins(&urls[comma + 1..]) {
            addresses.push(urls[start..comma].trim());
            start = comma + 1;
        }
    }
    addresses.push(urls[start..].trim());
    addresses
}

fn uri(scheme: &str, rest: &str) -> String {
    let (rest, query) = match rest.split_once('?') {
        Some((rest, query)) => (rest, Some(query)),
        None => (rest, None),
    };
    let mut text = format!("{scheme}://");
    // The last @: a password that should have been escaped may contain others.
    match rest.rsplit_once('@') {
        Some((credentials, place)) => {
            let user = credentials
                .split_once(':')
                .map_or(credentials, |(user, _)| user);
            text.push_str(user);
            if credentials.contains(':') {
                text.push(':');
                text.push_str(HIDDEN);
            }
            text.push('@');
            text.push_str(place);
        }
        None => text.push_str(rest),
    }
    if let Some(query) = query {
        let parameters: Vec<String> = query.split('&').map(parameter).collect();
        text.push('?');
        text.push_str(&parameters.join("&"));
    }
    text
}

fn parameter(parameter: &str) -> String {
    match parameter.split_once('=') {
        Some((name, _)) if is_secret(name) => format!("{name}={HIDDEN}"),
        _ => parameter.to_owned(),
    }
}

fn is_secret(name: &str) -> bool {
    name.to_lowercase().contains("password")
}

/// A value may be quoted and hold blanks, so everything from a password on is hidden.
fn key_values(text: &str) -> String {
    match text.to_lowercase().find("password") {
        Some(start) if text.is_char_boundary(start) => {
            format!("{}password={HIDDEN}", &text[..start])
        }
        Some(_) => HIDDEN.to_owned(),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::{database_url, redis_url};

    #[test]
    fn passwords_of_redis_are_hidden_in_each_address() {
        for (url, shown) in [
            ("redis://host", "redis://host"),
            ("redis://:pw@host:1/2", "redis://:***@host:1/2"),
            (
                "rediss://u:p,w@h, redis://u:x@i",
                "rediss://u:***@h,redis://u:***@i",
            ),
            ("redis://h?password=x", "redis://h?password=***"),
            ("secret", "***"),
        ] {
            assert_eq!(redis_url(url), shown, "{url}");
        }
    }

    #[test]
    fn passwords_are_hidden_in_every_form() {
        for (url, shown) in [
            ("postgres://host/db", "postgres://host/db"),
            ("postgres://user@host/db", "postgres://user@host/db"),
            (
                "postgres://user:pw@host:5432/db",
                "postgres://user:***@host:5432/db",
            ),
            (
                "postgres://user:p@w:x@host/db",
                "postgres://user:***@host/db",
            ),
            (
                "postgres:///db?user=u&password=pw&x=1",
                "postgres:///db?user=u&password=***&x=1",
            ),
            (
                "host=h user=u password='p w' dbname=d",
                "host=h user=u password=***",
            ),
            ("host=h PASSWORD=pw", "host=h password=***"),
            ("host=h dbname=d", "host=h dbname=d"),
        ] {
            assert_eq!(database_url(url), shown, "{url}");
        }
    }
}
