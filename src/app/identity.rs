//! The node's name: configured, or made once and kept in the data folder; and its lives under it.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;

use uuid::Uuid;

use super::{StartError, pool_share};
use crate::config::{self, Config};
use crate::hub::cluster::Seat;
use crate::protocol::origin::{Origin, is_node_name};
use crate::store::{Store, nodes};

/// The file that keeps a name that was made.
const FILE: &str = "node_id";

/// As much is told of a name that is none.
const TOLD_CHARS: usize = 80;

/// The node's name.
pub(super) fn node_id(config: &config::Node) -> Result<String, StartError> {
    if !config.id.is_empty() {
        return Ok(config.id.clone());
    }
    let path = || config.data_dir.join(FILE);
    let id = kept(&config.data_dir).map_err(|source| StartError::DataDir {
        path: path(),
        source,
    })?;
    if is_node_name(&id) {
        return Ok(id);
    }
    let told = id.chars().take(TOLD_CHARS).collect();
    Err(StartError::NodeIdFile { path: path(), told })
}

/// Takes the name, which no other running node may have, and counts this life under it: one more node
/// that the server's connections are divided among. Clients find it at `http_address`, other nodes at
/// `address`.
pub(super) async fn begin_life(
    store: &Store,
    url: &str,
    config: &Config,
    id: &str,
    http_address: SocketAddr,
    address: &str,
) -> Result<(Seat, Origin), StartError> {
    let seat = Seat::take(url, config, id).await?;
    let lease_ms = i64::try_from(config.node.lease_ms).unwrap_or(i64::MAX);
    let http_address = http_address.to_string();
    let incarnation = nodes::begin_life(store, id, &http_address, address, lease_ms).await?;
    pool_share::at_start(store).await?;
    tracing::info!(node = id, address, "other nodes find this one there");
    let origin = Origin {
        node: id.into(),
        incarnation,
    };
    Ok((seat, origin))
}

/// The node's name, if it has one already.
pub(super) fn known_id(config: &config::Node) -> Option<String> {
    if !config.id.is_empty() {
        return Some(config.id.clone());
    }
    let id = fs::read_to_string(config.data_dir.join(FILE)).ok()?;
    let id = id.trim();
    is_node_name(id).then(|| id.to_owned())
}

fn kept(data_dir: &Path) -> io::Result<String> {
    fs::create_dir_all(data_dir)?;
    let file = data_dir.join(FILE);
    match fs::read_to_string(&file) {
        Ok(id) if !id.trim().is_empty() => return Ok(id.trim().to_owned()),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let id = Uuid::now_v7().simple().to_string();
    let id = format!("node-{}", &id[id.len() - 8..]);
    fs::write(&file, &id)?;
    Ok(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_made_once() {
        let folder = tempfile::tempdir().unwrap();
        let data_dir = folder.path().join("deep/data");
        let id = kept(&data_dir).unwrap();
        assert!(id.starts_with("node-"));
        assert_eq!(kept(&data_dir).unwrap(), id);
    }

    #[test]
    fn a_file_that_holds_no_name_is_told_with_what_is_allowed() {
        let folder = tempfile::tempdir().unwrap();
        let config = Config::from_sources(None, std::iter::empty()).unwrap();
        let mut config = config.node;
        config.data_dir = folder.path().to_owned();
        let file = folder.path().join(FILE);
        for (content, told) in [
            ("node 7", "\"node 7\""),
            ("a~1", "\"a~1\""),
            ("node-7\nnode-8\n", "\"node-7\\nnode-8\""),
            ("x".repeat(65).as_str(), "xxx"),
        ] {
            fs::write(&file, content).unwrap();
            let error = node_id(&config).unwrap_err().to_string();
            let path = file.display().to_string();
            for expected in [told, &path, "A-Z a-z 0-9 . _ -", "node.id"] {
                assert!(error.contains(expected), "{error}");
            }
            assert_eq!(known_id(&config), None);
        }
        fs::write(&file, "node-7\n").unwrap();
        assert_eq!(node_id(&config).unwrap(), "node-7");
        assert_eq!(known_id(&config).as_deref(), Some("node-7"));
        // Bytes that are no text.
        fs::write(&file, [0xff, 0xfe]).unwrap();
        let error = node_id(&config).unwrap_err();
        assert!(matches!(error, StartError::DataDir { .. }), "{error}");
    }
}
