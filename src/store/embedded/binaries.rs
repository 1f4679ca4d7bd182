//! Where Postgres is installed, and which version it is.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use super::error::EmbeddedError;

/// Folders of distributions that hold a folder for each version.
const VERSIONED: [(&str, &str, &str); 4] = [
    // (folder, prefix of a version's folder, what follows)
    ("/usr/lib/postgresql", "", "bin"),          // Debian, Ubuntu
    ("/usr", "pgsql-", "bin"),                   // PostgreSQL's own RPMs
    ("/opt/homebrew/opt", "postgresql@", "bin"), // macOS
    ("/Library/PostgreSQL", "", "bin"),          // EnterpriseDB's installer
];

/// Folders of distributions with one version.
const PLAIN: [&str; 5] = [
    "/usr/bin",
    "/usr/local/bin",
    "/usr/local/pgsql/bin",
    "/usr/libexec/postgresql",
    "/opt/homebrew/bin",
];

/// Oldest major version that Hubbub runs on.
const OLDEST: u32 = 14;

/// Where to look for binaries.
#[derive(Debug, Clone)]
pub struct Search {
    /// The only folder to look into, if configured.
    pub bin_dir: Option<PathBuf>,
    /// The value of `PATH`.
    pub path: Option<OsString>,
    /// Whether to look into the folders that distributions use.
    pub distributions: bool,
}

impl Search {
    /// The configured folder, or else `PATH` and the distributions' folders.
    #[must_use]
    pub fn standard(bin_dir: Option<&Path>) -> Self {
        Self {
            bin_dir: bin_dir.map(Path::to_owned),
            path: std::env::var_os("PATH"),
            distributions: true,
        }
    }

    /// Every folder to look into, best first.
    fn folders(&self) -> Vec<PathBuf> {
        if let Some(only) = &self.bin_dir {
            return vec![only.clone()];
        }
        let mut folders: Vec<PathBuf> = self
            .path
            .iter()
            .flat_map(std::env::split_paths)
            .filter(|folder| folder.is_absolute())
            .collect();
        if self.distributions {
            for (folder, prefix, rest) in VERSIONED {
                folders.extend(versions_in(Path::new(folder), prefix, rest));
            }
            folders.extend(PLAIN.map(PathBuf::from));
        }
        folders
    }

    /// What to tell who has none.
    fn described(&self) -> String {
        if let Some(only) = &self.bin_dir {
            return only.display().to_string();
        }
        let path = self.path.as_ref().map(|_| "PATH");
        let distributions = self
            .distributions
            .then_some("/usr/lib/postgresql and the like");
        let both: Vec<&str> = path.into_iter().chain(distributions).collect();
        both.join(" or ")
    }
}

/// The folders of versions inside `folder`, newest first.
fn versions_in(folder: &Path, prefix: &str, rest: &str) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut found: Vec<(u32, PathBuf)> = entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let version = name.strip_prefix(prefix)?.split('.').next()?.parse().ok()?;
            Some((version, entry.path().join(rest)))
        })
        .collect();
    found.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
    found.into_iter().map(|(_, path)| path).collect()
}

/// The binaries of one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binaries {
    /// The folder that holds `initdb` and `postgres`.
    pub folder: PathBuf,
    /// As `PG_VERSION` names it: `15`, or `9.6` for the old ones.
    pub major: String,
}

impl Binaries {
    /// Finds binaries: of the version `cluster` if a cluster of that version exists, else the
    /// first found.
    pub async fn find(
        search: &Search,
        cluster: Option<(&str, &Path)>,
    ) -> Result<Self, EmbeddedError> {
        let mut found: Vec<Self> = Vec::new();
        let mut broken = None;
        for folder in search.folders() {
            // A link in PATH leads to the folder where the rest of the installation is.
            let Ok(postgres) = folder.join("postgres").canonicalize() else {
                continue;
            };
            let Some(folder) = postgres.parent().map(Path::to_owned) else {
                continue;
            };
            if !folder.join("initdb").exists() || found.iter().any(|seen| seen.folder == folder) {
                continue;
            }
            match version_of(&postgres).await {
                Ok(major) if cluster.is_none_or(|(wanted, _)| wanted == major) => {
                    let binaries = Self { folder, major };
                    return binaries.checked();
                }
                Ok(major) => found.push(Self { folder, major }),
                Err(error) => broken = Some(error),
            }
        }
        if let (Some((wanted, folder)), false) = (cluster, found.is_empty()) {
            let majors: Vec<&str> = found.iter().map(|seen| seen.major.as_str()).collect();
            return Err(EmbeddedError::OtherMajor {
                folder: folder.to_owned(),
                cluster: wanted.to_owned(),
                found: majors.join(", "),
            });
        }
        Err(broken.unwrap_or_else(|| EmbeddedError::NoBinaries {
            searched: search.described(),
        }))
    }

    fn checked(self) -> Result<Self, EmbeddedError> {
        if self.number() < OLDEST {
            return Err(EmbeddedError::TooOld { found: self.major });
        }
        Ok(self)
    }

    /// The major version as a number: 9 for `9.6`.
    pub(super) fn number(&self) -> u32 {
        let first = self.major.split('.').next();
        first.and_then(|first| first.parse().ok()).unwrap_or(0)
    }

    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

async fn version_of(postgres: &Path) -> Result<String, EmbeddedError> {
    let broken = |reason: String| EmbeddedError::NotPostgres {
        program: postgres.to_owned(),
        reason,
    };
    let output = tokio::process::Command::new(postgres)
        .arg("--version")
        .stdin(Stdio::null())
        .output()
        .await
        .map_err(|error| broken(error.to_string()))?;
    let said = String::from_utf8_lossy(&output.stdout);
    parse_version(&said).ok_or_else(|| {
        let complaint = String::from_utf8_lossy(&output.stderr);
        broken(format!(
            "--version says: {}{}",
            said.trim(),
            complaint.trim()
        ))
    })
}

/// The major version in `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`.
fn parse_version(said: &str) -> Option<String> {
    let version = said.strip_prefix("postgres (PostgreSQL) ")?;
    // `17.2`, `18beta1`, `19devel`, `9.6.24`
    let mut numbers = version.split(|c: char| !c.is_ascii_digit());
    let first = numbers.next()?;
    let number: u32 = first.parse().ok()?;
    if number >= 10 {
        return Some(first.to_owned());
    }
    Some(format!("{first}.{}", numbers.next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn major_versions() {
        let parse = |version: &str| parse_version(&format!("postgres (PostgreSQL) {version}\n"));
        assert_eq!(parse("15.18 (Debian 15.18-0+deb12u1)").unwrap(), "15");
        assert_eq!(parse("18beta1").unwrap(), "18");
        assert_eq!(parse("9.6.24").unwrap(), "9.6");
        assert_eq!(parse_version("bash 5.2"), None);
    }

    #[test]
    fn the_newest_of_a_distribution_comes_first() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["9.6", "14", "17", "not-a-version"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        let found = versions_in(folder.path(), "", "bin");
        let expected = ["17", "14", "9.6"].map(|name| folder.path().join(name).join("bin"));
        assert_eq!(found, expected);
    }
}
