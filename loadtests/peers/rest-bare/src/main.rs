//! The ceiling of REST: what one ready answer costs when it is given by actix-web and nothing else.
//!
//! It is given a node's answer, and says the same bytes and headers to whoever asks for messages, or
//! 304 to whoever has them. There is no cache, no permission, no database and no log.

use std::io::Read as _;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderName, HeaderValue, IF_NONE_MATCH};
use actix_web::web::{Bytes, Data};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use serde::Deserialize;

/// What is answered, as the file has it.
#[derive(Deserialize)]
struct Given {
    /// The headers of 200, without those that every server says by itself.
    headers: Vec<(String, String)>,
    /// Those of 304.
    not_modified: Vec<(String, String)>,
    etag: String,
    body: String,
}

struct Answer {
    headers: Vec<(HeaderName, HeaderValue)>,
    not_modified: Vec<(HeaderName, HeaderValue)>,
    etag: String,
    body: Bytes,
}

struct Arguments {
    port: u16,
    threads: usize,
    answer: PathBuf,
}

impl Arguments {
    fn read() -> Option<Self> {
        let (mut port, mut threads, mut answer) = (0, 1, None);
        let mut given = std::env::args().skip(1);
        while let Some(name) = given.next() {
            let value = given.next()?;
            match name.as_str() {
                "--port" => port = value.parse().ok()?,
                "--threads" => threads = value.parse().ok().filter(|threads| *threads > 0)?,
                "--answer" => answer = Some(value.into()),
                _ => return None,
            }
        }
        Some(Self {
            port,
            threads,
            answer: answer?,
        })
    }
}

fn main() -> ExitCode {
    let Some(arguments) = Arguments::read() else {
        eprintln!("usage: rest-bare --answer FILE [--port PORT] [--threads WORKERS]");
        return ExitCode::FAILURE;
    };
    // SIGTERM ends it by itself; the end of stdin has to be watched for.
    std::thread::spawn(|| {
        let mut stdin = std::io::stdin().lock();
        let mut ignored = [0; 256];
        while matches!(stdin.read(&mut ignored), Ok(read) if read > 0) {}
        std::process::exit(0);
    });
    match serve(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(arguments: &Arguments) -> Result<(), Box<dyn std::error::Error>> {
    let text = std::fs::read(&arguments.answer)?;
    let given: Given = serde_json::from_slice(&text)?;
    let answer = Data::new(Answer {
        headers: parsed(&given.headers)?,
        not_modified: parsed(&given.not_modified)?,
        etag: given.etag,
        body: given.body.into(),
    });
    actix_web::rt::System::new().block_on(async move {
        let server = HttpServer::new(move || {
            App::new()
                .app_data(answer.clone())
                .route("/api/rooms/{id}/messages", web::get().to(messages))
        })
        .workers(arguments.threads)
        // As long as a node's, so that none is closed between two requests.
        .keep_alive(Duration::from_secs(75))
        .bind((Ipv4Addr::LOCALHOST, arguments.port))?;
        for address in server.addrs() {
            println!("listening on {address}");
        }
        Ok(server.run().await?)
    })
}

fn parsed(
    headers: &[(String, String)],
) -> Result<Vec<(HeaderName, HeaderValue)>, Box<dyn std::error::Error>> {
    let parse = |(name, value): &(String, String)| Ok((name.parse()?, value.parse()?));
    headers.iter().map(parse).collect()
}

async fn messages(req: HttpRequest, answer: Data<Answer>) -> HttpResponse {
    let known = req.headers().get(IF_NONE_MATCH);
    let is_known = known.is_some_and(|tag| tag.as_bytes() == answer.etag.as_bytes());
    let (status, headers) = if is_known {
        (StatusCode::NOT_MODIFIED, &answer.not_modified)
    } else {
        (StatusCode::OK, &answer.headers)
    };
    let mut response = HttpResponse::build(status);
    for (name, value) in headers {
        response.insert_header((name.clone(), value.clone()));
    }
    if is_known {
        return response.finish();
    }
    response.body(answer.body.clone())
}
