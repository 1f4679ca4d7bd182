//! Making a cluster.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use super::account::{Account, command};
use super::binaries::Binaries;
use super::disk::with_free_space;
use super::error::{EmbeddedError, io_error};

/// `initdb` takes half a second; this is for a disk that has nearly stopped.
const LIMIT: Duration = Duration::from_secs(120);

/// Added to `postgresql.conf`, where whoever runs the node may change it. What must not be
/// changed is on the server's command line.
const SETTINGS: &str = "
# Set by Hubbub when it made this cluster.
max_connections = 100
shared_buffers = 128MB
max_wal_size = 1GB
checkpoint_timeout = 15min
fsync = on
full_page_writes = on
synchronous_commit = on
# Statements here are short: compiling one takes longer than running it.
jit = off
# The node logs what fails. In the server's own log every refused duplicate would be a line, with
# the text of the statement.
log_min_messages = log
log_checkpoints = off
";

/// Makes a cluster in `cluster`, which must not exist: in a folder beside it, renamed when all of
/// it is on disk.
pub(super) async fn make(
    binaries: &Binaries,
    account: Option<&Account>,
    cluster: &Path,
) -> Result<(), EmbeddedError> {
    let fresh = cluster.with_extension("new");
    if fresh.exists() {
        tracing::info!(folder = %fresh.display(), "removing what an interrupted first start left");
        fs::remove_dir_all(&fresh).map_err(io_error("remove", &fresh))?;
    }
    let made = fill(binaries, account, cluster, &fresh).await;
    if made.is_err() {
        // On a full disk nothing should stay of what did not fit.
        let _ = fs::remove_dir_all(&fresh);
    }
    made
}

async fn fill(
    binaries: &Binaries,
    account: Option<&Account>,
    cluster: &Path,
    fresh: &Path,
) -> Result<(), EmbeddedError> {
    DirBuilder::new()
        .mode(0o700)
        .create(fresh)
        .map_err(io_error("create", fresh))?;
    if let Some(account) = account {
        account.own(fresh)?;
    }
    let mut output = initdb(binaries, account, fresh, "C.UTF-8").await?;
    if !output.status.success() && text_of(&output).contains("locale") {
        // Not every system has C.UTF-8; with C only ASCII letters have a case.
        empty(fresh)?;
        output = initdb(binaries, account, fresh, "C").await?;
    }
    if !output.status.success() {
        return Err(EmbeddedError::Init {
            folder: cluster.to_owned(),
            output: with_free_space(last_lines(&text_of(&output)), cluster),
        });
    }
    let conf = fresh.join("postgresql.conf");
    let mut file = OpenOptions::new()
        .append(true)
        .open(&conf)
        .map_err(io_error("open", &conf))?;
    file.write_all(SETTINGS.as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(io_error("write", &conf))?;
    fs::rename(fresh, cluster).map_err(io_error("rename", fresh))?;
    let Some(parent) = cluster.parent() else {
        return Ok(());
    };
    File::open(parent)
        .and_then(|folder| folder.sync_all())
        .map_err(io_error("sync", parent))
}

fn empty(folder: &Path) -> Result<(), EmbeddedError> {
    let failed = |source| io_error("empty", folder)(source);
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let removed = if path.is_dir() {
            fs::remove_dir_all(&path)
        } else {
            fs::remove_file(&path)
        };
        removed.map_err(failed)?;
    }
    Ok(())
}

async fn initdb(
    binaries: &Binaries,
    account: Option<&Account>,
    folder: &Path,
    locale: &str,
) -> Result<Output, EmbeddedError> {
    let program = binaries.program("initdb");
    let mut command = command(account, &program);
    // Whoever can open the socket is trusted: its folder is closed to all but the server's user.
    command
        .arg("--pgdata")
        .arg(folder)
        .args(["--username=postgres", "--encoding=UTF8", "--data-checksums"])
        // What stays of a failure shows how full the disk was; it is removed here.
        .arg("--no-clean")
        .args(["--auth-local=trust", "--auth-host=reject"])
        .args(locale_arguments(binaries.number(), locale))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    match tokio::time::timeout(LIMIT, command.output()).await {
        Ok(output) => output.map_err(io_error("run", &program)),
        Err(_) => Err(EmbeddedError::Init {
            folder: folder.to_owned(),
            output: format!("it was stopped after {} s", LIMIT.as_secs()),
        }),
    }
}

/// Orders and cases text by code points: the same on every system, unlike the libraries' locales,
/// whose upgrades corrupt indexes.
fn locale_arguments(major: u32, locale: &str) -> Vec<String> {
    match major {
        ..15 => vec![format!("--locale={locale}")],
        15..17 => vec![
            "--locale-provider=libc".to_owned(),
            format!("--locale={locale}"),
        ],
        17.. => vec![
            "--locale-provider=builtin".to_owned(),
            format!("--builtin-locale={locale}"),
            "--locale=C".to_owned(),
        ],
    }
}

fn text_of(output: &Output) -> String {
    let out = String::from_utf8_lossy(&output.stdout);
    let err = String::from_utf8_lossy(&output.stderr);
    format!("{out}{err}")
}

/// The end of a log, for an error's message.
pub(super) fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.trim_end().lines().collect();
    let from = lines.len().saturating_sub(15);
    lines.get(from..).unwrap_or_default().join("\n")
}
