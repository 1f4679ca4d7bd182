//! What is wrong with the settings, said so that it can be put right at once.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Why a node cannot be configured.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration file {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file is not TOML.
    #[error("{}:{line}: not valid TOML: {message}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// Why. Not the parser's error itself, which quotes the line, which may hold a
        /// password.
        message: String,
    },
    /// Keys that do not exist or values that are not possible, all that were found.
    #[error("{}", list(.0))]
    Refused(Vec<Problem>),
    /// The embedded defaults are broken, which the tests rule out.
    #[error("the embedded config/default.toml is not valid TOML")]
    Defaults(#[source] Box<toml::de::Error>),
}

impl ConfigError {
    /// The error of a file with this text that is not TOML.
    pub(super) fn syntax(path: &Path, text: &str, error: &toml::de::Error) -> Self {
        let start = error.span().map_or(0, |span| span.start);
        let before = text.as_bytes().iter().take(start);
        Self::Syntax {
            path: path.to_owned(),
            line: 1 + before.filter(|byte| **byte == b'\n').count(),
            message: error.message().to_owned(),
        }
    }
}

/// Where a setting was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The embedded `config/default.toml`.
    Default,
    /// A configuration file.
    File(PathBuf),
    /// An environment variable, by name.
    Variable(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("the default"),
            Self::File(path) => write!(f, "the file {}", path.display()),
            Self::Variable(name) => write!(f, "the environment variable {name}"),
        }
    }
}

/// One setting that is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The full key, such as `http.bind`.
    pub key: String,
    /// Where it was set.
    pub origin: Origin,
    /// What is wrong.
    pub what: String,
    /// What is allowed instead.
    pub allowed: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            key,
            origin,
            what,
            allowed,
        } = self;
        write!(
            f,
            "{key}: {what}\n    set by: {origin}\n    allowed: {allowed}"
        )
    }
}

fn list(problems: &[Problem]) -> String {
    let mut text = String::from("the configuration is refused");
    for problem in problems {
        text.push_str("\n  ");
        text.push_str(&problem.to_string());
    }
    text
}
