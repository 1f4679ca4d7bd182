//! Ends what a test process started, also when that process is killed.
//!
//! A child `sh` reads from a pipe which processes and folders are ours. When the pipe closes,
//! because the test process has ended in whatever way, it ends the processes and removes the
//! folders.

use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::{Mutex, OnceLock};

/// Postgres gets SIGQUIT, its immediate shutdown, which also ends its backends; everything is
/// woken first, as a stopped process hears nothing but SIGKILL.
const SCRIPT: &str = r#"
processes=' '
folders=''
while read -r what which; do
    case "$what" in
        process) processes="$processes$which " ;;
        reaped) processes="${processes%% $which *} ${processes#* $which }" ;;
        folder) folders="$folders
$which" ;;
    esac
done
for pid in $processes; do kill -CONT "$pid"; kill -QUIT "$pid"; done 2>/dev/null
# A node's own Postgres outlives the node: its data folder says which it is.
# So do the children of a cluster that was killed, which it has written down.
printf '%s\n' "$folders" | while read -r folder; do
    [ -n "$folder" ] || continue
    while read -r pid rest; do kill -KILL -- "-$pid"; done < "$folder/children"
    find "$folder" -maxdepth 4 -name postmaster.pid | while read -r file; do
        pid=$(head -n 1 "$file")
        kill -CONT "$pid"; kill -QUIT "$pid"
        echo "$pid"
    done
done 2>/dev/null >/dev/null
tries=0
while [ $tries -lt 50 ]; do
    alive=''
    for pid in $processes; do kill -0 "$pid" 2>/dev/null && alive=yes; done
    [ -z "$alive" ] && break
    sleep 0.1
    tries=$((tries + 1))
done
for pid in $processes; do kill -KILL "$pid"; done 2>/dev/null
tries=0
while [ $tries -lt 50 ]; do
    left=''
    printf '%s\n' "$folders" | { while read -r folder; do [ -n "$folder" ] && rm -rf "$folder" 2>/dev/null; done; true; }
    for folder in $folders; do [ -e "$folder" ] && left=yes; done
    [ -z "$left" ] && break
    sleep 0.1
    tries=$((tries + 1))
done
"#;

static PIPE: OnceLock<Mutex<ChildStdin>> = OnceLock::new();

/// From now on this process ends with ours.
pub(crate) fn guard_process(pid: u32) {
    tell(&format!("process {pid}"));
}

/// This process has ended and was waited for; its number may soon be another's.
pub(crate) fn process_was_reaped(pid: u32) {
    tell(&format!("reaped {pid}"));
}

/// From now on this folder is removed when our process has ended.
pub(crate) fn guard_folder(folder: &Path) {
    tell(&format!("folder {}", folder.display()));
}

fn tell(line: &str) {
    let pipe = PIPE.get_or_init(|| {
        #[expect(clippy::zombie_processes, reason = "it ends after we have ended")]
        let mut child = Command::new("sh")
            .arg("-c")
            .arg(SCRIPT)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Ctrl-C goes to the terminal's group: the watchdog is the one that must outlive it.
            .process_group(0)
            .spawn()
            .expect("sh starts");
        Mutex::new(child.stdin.take().expect("stdin is piped"))
    });
    let mut pipe = pipe.lock().expect("nobody panics while writing");
    writeln!(pipe, "{line}").expect("the watchdog lives");
}
