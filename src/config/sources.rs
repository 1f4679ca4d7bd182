//! The layers and how they are laid over each other.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::defaults;
use super::error::{ConfigError, Origin, Problem};

/// What the variables of the settings begin with.
const PREFIX: &str = "HUBBUB__";
/// The variable that names the file.
const FILE: &str = "HUBBUB__CONFIG";
/// Names of settings besides the systematic ones, which win over these.
const SHORT_NAMES: [(&str, &str); 4] = [
    ("DATABASE_URL", "HUBBUB__DATABASE__URL"),
    ("REDIS_URL", "HUBBUB__REDIS__URL"),
    ("LOG_QUERIES", "HUBBUB__DATABASE__LOG_QUERIES"),
    ("HUBBUB__DATA_DIR", "HUBBUB__NODE__DATA_DIR"),
];

/// Where each setting that is not a default was made, by full key.
#[derive(Debug, Clone, Default)]
pub(super) struct Origins(BTreeMap<String, Origin>);

impl Origins {
    /// Where `key`, or the list that it is an item of, was set.
    pub(super) fn of(&self, key: &str) -> Origin {
        let key = key.split('[').next().unwrap_or(key);
        self.0.get(key).cloned().unwrap_or(Origin::Default)
    }

    /// A problem of `key`, wherever it was set.
    pub(super) fn problem(&self, key: &str, what: String) -> Problem {
        Problem {
            key: key.to_owned(),
            origin: self.of(key),
            what,
            allowed: defaults::allowed(key).to_owned(),
        }
    }

    /// The error of one problem.
    pub(super) fn refuse(&self, key: &str, what: String) -> ConfigError {
        ConfigError::Refused(vec![self.problem(key, what)])
    }
}

/// All layers in one table.
pub(super) struct Merged {
    pub(super) table: Table,
    pub(super) origins: Origins,
    pub(super) notices: Vec<String>,
}

/// The variables of this process that concern the settings.
pub(super) fn process_environment() -> Result<impl Iterator<Item = (String, String)>, ConfigError> {
    let mut variables = Vec::new();
    for (name, value) in std::env::vars_os() {
        let Some(name) = name.to_str().filter(|name| concerns_us(name)) else {
            continue;
        };
        let Ok(value) = value.into_string() else {
            return Err(ConfigError::Refused(vec![Problem {
                key: name.to_owned(),
                origin: Origin::Variable(name.to_owned()),
                what: "the value is not UTF-8".to_owned(),
                allowed: "UTF-8".to_owned(),
            }]));
        };
        variables.push((name.to_owned(), value));
    }
    Ok(variables.into_iter())
}

fn concerns_us(name: &str) -> bool {
    name.starts_with(PREFIX) || SHORT_NAMES.iter().any(|(short, _)| *short == name)
}

/// Lays the file and the environment over the defaults.
pub(super) fn merge(
    file: Option<&Path>,
    env: impl Iterator<Item = (String, String)>,
) -> Result<Merged, ConfigError> {
    let env: BTreeMap<String, String> = env.filter(|(name, _)| concerns_us(name)).collect();
    let mut layers = Layers {
        table: defaults::table()?,
        origins: Origins::default(),
        problems: Vec::new(),
    };
    let named = env
        .get(FILE)
        .filter(|name| !name.is_empty())
        .map(PathBuf::from);
    if let Some(path) = file.map(Path::to_owned).or(named) {
        let layer = read(&path)?;
        layers.lay_file(&layer, &Origin::File(path));
    }
    let mut notices = Vec::new();
    for (short, long) in SHORT_NAMES {
        let Some(value) = env.get(short) else {
            continue;
        };
        match env.get(long) {
            None => layers.lay_variable(short, long, value),
            Some(other) if other != value => {
                notices.push(format!("{short} is ignored, because {long} is set too"));
            }
            Some(_) => {}
        }
    }
    for (name, value) in &env {
        let short = SHORT_NAMES.iter().any(|(short, _)| short == name);
        if name.starts_with(PREFIX) && name != FILE && !short {
            layers.lay_variable(name, name, value);
        }
    }
    if !layers.problems.is_empty() {
        return Err(ConfigError::Refused(layers.problems));
    }
    Ok(Merged {
        table: layers.table,
        origins: layers.origins,
        notices,
    })
}

fn read(path: &Path) -> Result<Table, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
        path: path.to_owned(),
        source,
    })?;
    text.parse()
        .map_err(|error| ConfigError::syntax(path, &text, &error))
}

/// The table while layers are laid on it.
struct Layers {
    table: Table,
    origins: Origins,
    problems: Vec<Problem>,
}

impl Layers {
    fn lay_file(&mut self, layer: &Table, origin: &Origin) {
        let mut path = Vec::new();
        self.lay_table(&mut path, layer, origin);
    }

    fn lay_table(&mut self, path: &mut Vec<String>, layer: &Table, origin: &Origin) {
        for (name, value) in layer {
            path.push(name.clone());
            match (section(&self.table, path), value) {
                (Some(_), Value::Table(inner)) => self.lay_table(path, inner, origin),
                _ => self.lay(path, value.clone(), origin),
            }
            path.pop();
        }
    }

    /// `name` is the variable, `long` its systematic name, from which the key follows.
    fn lay_variable(&mut self, name: &str, long: &str, text: &str) {
        let key = long.strip_prefix(PREFIX).unwrap_or(long).to_lowercase();
        let path: Vec<String> = key.split("__").map(str::to_owned).collect();
        let origin = Origin::Variable(name.to_owned());
        let value = match lookup(&self.table, &path) {
            Some(default) => match parse(text, default) {
                Ok(value) => value,
                Err(what) => return self.refuse(&path, what, &origin),
            },
            None => Value::String(text.to_owned()),
        };
        self.lay(&path, value, &origin);
    }

    fn lay(&mut self, path: &[String], value: Value, origin: &Origin) {
        let Some(slot) = lookup_mut(&mut self.table, path) else {
            return self.refuse_unknown(path, origin);
        };
        if slot.is_table() {
            let what = "this is a section, not a key".to_owned();
            return self.refuse(path, what, origin);
        }
        if slot.type_str() != value.type_str() {
            let what = format!("{} is expected, not {}", noun(slot), noun(&value));
            return self.refuse(path, what, origin);
        }
        *slot = value;
        self.origins.0.insert(path.join("."), origin.clone());
    }

    fn refuse(&mut self, path: &[String], what: String, origin: &Origin) {
        let key = path.join(".");
        let allowed = match section(&self.table, path) {
            Some(table) => format!("the keys of the section: {}", names(table)),
            None => defaults::allowed(&key).to_owned(),
        };
        self.problems.push(Problem {
            key,
            origin: origin.clone(),
            what,
            allowed,
        });
    }

    fn refuse_unknown(&mut self, path: &[String], origin: &Origin) {
        let (parent, name) = known_parent(&self.table, path);
        let table = section(&self.table, parent).unwrap_or(&self.table);
        let kind = if parent.is_empty() { "section" } else { "key" };
        let what = match suggestion(&self.table, parent, table, name) {
            Some(nearest) => format!("there is no such {kind}; did you mean {nearest}?"),
            None => format!("there is no such {kind}"),
        };
        let allowed = if parent.is_empty() {
            format!("the sections {}", names(table))
        } else {
            format!("the keys of {}: {}", parent.join("."), names(table))
        };
        self.problems.push(Problem {
            key: path.join("."),
            origin: origin.clone(),
            what,
            allowed,
        });
    }
}

fn lookup<'t>(table: &'t Table, path: &[String]) -> Option<&'t Value> {
    let (first, rest) = path.split_first()?;
    let value = table.get(first)?;
    if rest.is_empty() {
        Some(value)
    } else {
        lookup(value.as_table()?, rest)
    }
}

fn lookup_mut<'t>(table: &'t mut Table, path: &[String]) -> Option<&'t mut Value> {
    let (first, rest) = path.split_first()?;
    let value = table.get_mut(first)?;
    if rest.is_empty() {
        Some(value)
    } else {
        lookup_mut(value.as_table_mut()?, rest)
    }
}

fn section<'t>(table: &'t Table, path: &[String]) -> Option<&'t Table> {
    if path.is_empty() {
        Some(table)
    } else {
        lookup(table, path)?.as_table()
    }
}

/// The longest part of `path` that is a section, and the name after it.
fn known_parent<'p>(table: &Table, path: &'p [String]) -> (&'p [String], &'p str) {
    let mut length = 0;
    while length + 1 < path.len() && section(table, &path[..=length]).is_some() {
        length += 1;
    }
    (&path[..length], path.get(length).map_or("", String::as_str))
}

/// The full key that was probably meant: one of the same section that is spelled nearly so
/// or begins so, else one of the same name in another section.
fn suggestion(all: &Table, parent: &[String], table: &Table, name: &str) -> Option<String> {
    let near = table
        .keys()
        .map(|known| (strsim::damerau_levenshtein(known, name), known))
        .filter(|(distance, known)| {
            *distance <= 1.max(known.len() / 3) || (name.len() > 2 && known.starts_with(name))
        })
        .min();
    if let Some((_, known)) = near {
        let mut key = parent.to_vec();
        key.push(known.clone());
        return Some(key.join("."));
    }
    all.iter()
        .find(|(_, inner)| {
            inner
                .as_table()
                .is_some_and(|inner| inner.contains_key(name))
        })
        .map(|(section, _)| format!("{section}.{name}"))
}

fn names(table: &Table) -> String {
    let names: Vec<&str> = table.keys().map(String::as_str).collect();
    names.join(", ")
}

fn noun(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "a text in quotes",
        Value::Integer(_) => "a whole number",
        Value::Float(_) => "a number with a fraction",
        Value::Boolean(_) => "true or false",
        Value::Datetime(_) => "a date",
        Value::Array(_) => "a list",
        Value::Table(_) => "a section",
    }
}

/// The value that `text` stands for, given the type of the default.
fn parse(text: &str, default: &Value) -> Result<Value, String> {
    match default {
        Value::Integer(_) => text
            .trim()
            .replace('_', "")
            .parse()
            .map(Value::Integer)
            .map_err(|_| format!("{text:?} is not a whole number")),
        Value::Boolean(_) => match text.trim().to_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => Ok(Value::Boolean(true)),
            "false" | "0" | "no" | "off" => Ok(Value::Boolean(false)),
            _ => Err(format!("{text:?} is neither true nor false")),
        },
        Value::Array(_) => Ok(Value::Array(
            text.split(',')
                .map(str::trim)
                .filter(|item| !item.is_empty())
                .map(|item| Value::String(item.to_owned()))
                .collect(),
        )),
        _ => Ok(Value::String(text.to_owned())),
    }
}
