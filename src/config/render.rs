//! The effective settings as TOML, for `hubbub config check`.

use std::fmt::Write as _;

use toml::{Table, Value};

use super::error::Origin;
use super::sources::Origins;
use super::{Config, redact};

/// All settings, secrets hidden, with the origin of each that is not a default.
pub(super) fn redacted(config: &Config, origins: &Origins) -> String {
    let mut config = config.clone();
    config.database.url = config.database.url.as_deref().map(redact::database_url);
    config.database.replica_urls = config.database.replica_places();
    config.redis.url = config.redis.url.as_deref().map(redact::redis_url);
    match Table::try_from(&config) {
        Ok(table) => {
            let mut text = String::new();
            section(&mut text, "", &table, origins);
            text
        }
        // A path that is not UTF-8 cannot come from TOML or a variable, so this is not reached.
        Err(error) => format!("# cannot be shown: {error}\n"),
    }
}

fn section(text: &mut String, name: &str, table: &Table, origins: &Origins) {
    let (inner, keys): (Vec<_>, Vec<_>) = table.iter().partition(|(_, value)| value.is_table());
    if !keys.is_empty() {
        let blank = if text.is_empty() { "" } else { "\n" };
        let _ = writeln!(text, "{blank}[{name}]");
    }
    for (key, value) in keys {
        let _ = write!(text, "{key} = {value}");
        match origins.of(&format!("{name}.{key}")) {
            Origin::Default => {}
            origin => {
                let _ = write!(text, "  # from {origin}");
            }
        }
        text.push('\n');
    }
    for (key, value) in inner {
        if let Value::Table(value) = value {
            let name = if name.is_empty() {
                key.clone()
            } else {
                format!("{name}.{key}")
            };
            section(text, &name, value, origins);
        }
    }
}
