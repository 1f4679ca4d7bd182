//! A browser without a window: Chromium on one page, which tells by itself how it ended.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::DEADLINE;
use super::process::Process;

/// Debian's smallest, without the script before it, which would not pass on its end.
const HEADLESS_SHELL: &str = "/usr/lib/chromium/chromium-headless-shell";

/// What it may be called.
const NAMES: [&str; 5] = [
    HEADLESS_SHELL,
    "chromium-headless-shell",
    "chromium",
    "chromium-browser",
    "google-chrome",
];

/// A server with one page, which gets at `/report` what the page posts there.
pub(crate) struct Site {
    listener: TcpListener,
    pub(crate) origin: String,
}

impl Site {
    pub(crate) async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        Self {
            listener,
            origin: format!("http://{address}"),
        }
    }

    /// Opens the page in a browser, and waits for its report.
    pub(crate) async fn visit(self, page: String) -> Value {
        let browser = Browser::open(&self.origin);
        let (report, mut reported) = mpsc::channel(8);
        let serving = async {
            loop {
                let (stream, _) = self.listener.accept().await.expect("a connection");
                let (page, report) = (page.clone(), report.clone());
                tokio::spawn(async move {
                    // A browser opens connections that it does not use.
                    let _ = answer(stream, &page, &report).await;
                });
            }
        };
        let came = tokio::select! {
            never = serving => never,
            came = timeout(2 * DEADLINE, reported.recv()) => came,
        };
        let said = browser.0.log().text();
        came.unwrap_or_else(|_| panic!("the page never reports: {said}"))
            .expect("a report")
    }
}

/// Answers one request.
async fn answer(
    mut stream: TcpStream,
    page: &str,
    report: &mpsc::Sender<Value>,
) -> std::io::Result<()> {
    let (read, mut write) = stream.split();
    let mut read = BufReader::new(read);
    let (mut head, mut length) = (String::new(), 0);
    while read.read_line(&mut head).await? > 2 {
        let line = head.lines().last().unwrap_or_default().to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().expect("a length");
        }
    }
    let (status, body) = match head.split(' ').nth(1) {
        Some("/") => ("200 OK", page),
        Some("/report") => {
            let mut body = vec![0; length];
            read.read_exact(&mut body).await?;
            let said = serde_json::from_slice(&body).expect("JSON");
            report.send(said).await.ok();
            ("200 OK", "")
        }
        _ => ("404 Not Found", ""),
    };
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    );
    write.write_all(answer.as_bytes()).await
}

/// The process, and the folder that it has for itself.
struct Browser(
    Process,
    #[expect(dead_code, reason = "goes with it")] TempDir,
);

impl Browser {
    fn open(url: &str) -> Self {
        let folder = TempDir::new().expect("a folder");
        let mut command = Command::new(program());
        command
            // Its sandbox does not work for root, and the one page is ours.
            .args(["--headless", "--no-sandbox", "--disable-gpu"])
            // Containers give little shared memory.
            .args(["--disable-dev-shm-usage", "--no-first-run"])
            .args(["--disable-background-networking", "--enable-logging=stderr"])
            .arg(format!("--user-data-dir={}", folder.path().display()))
            .arg(url)
            .env("HOME", folder.path());
        let process = Process::spawn("the browser", &mut command).expect("it starts");
        Self(process, folder)
    }
}

fn program() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<_> = std::env::split_paths(&path).collect();
    let found = NAMES.iter().find_map(|name| {
        let places = folders.iter().map(|folder| folder.join(name));
        places.into_iter().find(|place| Path::exists(place))
    });
    found.unwrap_or_else(|| panic!("none of {NAMES:?} is there: run `make setup`"))
}
