//! The embedded default file: the values, the schema, and the words of the errors.

use std::collections::HashMap;
use std::sync::LazyLock;

use toml::Table;

use super::error::ConfigError;

/// `config/default.toml`, word for word.
pub const DEFAULTS: &str = include_str!("../../config/default.toml");

/// The text after `# Allowed: ` above each key, by full key.
static ALLOWED: LazyLock<HashMap<String, &'static str>> = LazyLock::new(|| {
    let mut allowed = HashMap::new();
    let (mut section, mut comment) = ("", "");
    for line in DEFAULTS.lines() {
        if let Some(text) = line.strip_prefix("# Allowed: ") {
            comment = text;
        } else if let Some(name) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
            section = name;
        } else if let Some((key, _)) = line.split_once(" = ").filter(|_| !line.starts_with('#')) {
            allowed.insert(format!("{section}.{key}"), std::mem::take(&mut comment));
        }
    }
    allowed
});

/// The default values, which are also the schema.
pub(super) fn table() -> Result<Table, ConfigError> {
    DEFAULTS
        .parse()
        .map_err(|error| ConfigError::Defaults(Box::new(error)))
}

/// What `key` may be, in words. An item of a list (`http.allowed_origins[0]`) is explained
/// by its list.
pub(super) fn allowed(key: &str) -> &'static str {
    let key = key.split('[').next().unwrap_or(key);
    ALLOWED.get(key).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::*;

    fn leaves(prefix: &str, table: &Table, found: &mut Vec<(String, toml::Value)>) {
        for (name, value) in table {
            let key = if prefix.is_empty() {
                name.clone()
            } else {
                format!("{prefix}.{name}")
            };
            match value.as_table() {
                Some(inner) => leaves(&key, inner, found),
                None => found.push((key, value.clone())),
            }
        }
    }

    fn keys() -> Vec<(String, toml::Value)> {
        let mut found = Vec::new();
        leaves("", &table().unwrap(), &mut found);
        found
    }

    fn with(key: &str, value: u64) -> Result<Config, ConfigError> {
        let name = format!("HUBBUB__{}", key.to_uppercase().replace('.', "__"));
        Config::from_sources(None, [(name, value.to_string())].into_iter())
    }

    #[test]
    fn the_defaults_are_accepted() {
        let config = Config::from_sources(None, std::iter::empty()).unwrap();
        assert_eq!(config.http.bind.to_string(), "127.0.0.1:8080");
        assert_eq!(config.database.url, None);
        assert!(config.notices().is_empty());
    }

    #[test]
    fn every_key_says_what_is_allowed() {
        for (key, _) in keys() {
            assert!(!allowed(&key).is_empty(), "{key} has no line '# Allowed: '");
        }
    }

    /// The comments and the checks say the same: one outside of each documented range is
    /// refused in the name of its key.
    #[test]
    fn documented_ranges_are_the_checked_ones() {
        let mut ranges = 0;
        for (key, value) in keys() {
            if !value.is_integer() {
                continue;
            }
            let text = allowed(&key).trim_start_matches("0, or ");
            let (low, rest) = text
                .split_once(" to ")
                .unwrap_or_else(|| panic!("{key}: {text}"));
            let high = rest.split(',').next().unwrap();
            let (low, high): (u64, u64) = (low.parse().unwrap(), high.parse().unwrap());
            ranges += 1;
            let mut outside = vec![high + 1];
            outside.extend(low.checked_sub(1));
            for value in outside {
                let error = with(&key, value)
                    .expect_err(&format!("{key} = {value}"))
                    .to_string();
                let side = if value < low { "small" } else { "large" };
                assert!(
                    error.contains(&format!("{key}: {value} is too {side}")),
                    "{error}"
                );
            }
            for value in [low, high] {
                if let Err(error) = with(&key, value) {
                    let refused = error.to_string();
                    assert!(!refused.contains(&format!("{value} is too")), "{refused}");
                }
            }
        }
        assert!(ranges > 50, "only {ranges} ranges were found");
    }
}
