//! Embeds what was built or fetched for browsers, if it is there: see `web/socket.io-client`.

use std::error::Error;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::{env, fs};

fn main() -> Result<(), Box<dyn Error>> {
    // A folder that is always there: of one that is not, cargo would not notice that it comes.
    println!("cargo::rerun-if-changed=web/socket.io-client");
    println!("cargo::rerun-if-changed=build.rs");
    let top = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let mut files = Vec::new();
    if let Ok(folder) = fs::read_dir(top.join("web/socket.io-client/dist")) {
        for file in folder {
            let path = file?.path();
            if let Some(name) = path.file_name().and_then(|it| it.to_str())
                && path.is_file()
            {
                files.push((name.to_owned(), path));
            }
        }
    }
    files.sort();
    let mut source = String::from("&[\n");
    for (name, path) in files {
        let path = path.to_str().ok_or("a path that is not UTF-8")?;
        writeln!(
            source,
            "    ({name:?}, include_bytes!({path:?}).as_slice()),"
        )?;
    }
    source.push_str("]\n");
    let target = PathBuf::from(env::var("OUT_DIR")?).join("socketio_client.rs");
    fs::write(target, source)?;
    Ok(())
}
