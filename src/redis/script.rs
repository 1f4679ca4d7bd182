//! Scripts: sent by their digest, and in full to a server that does not know them.

use std::fmt::Write as _;

use redis::{Cmd, ToRedisArgs, Value};
use sha1::{Digest as _, Sha1};

use super::error::CallError;
use super::servers::Servers;

/// A script about one key.
#[derive(Debug)]
pub struct Script {
    text: String,
    /// SHA-1, by which Redis knows it.
    digest: String,
}

impl Script {
    /// With this text.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let mut digest = String::with_capacity(40);
        for byte in Sha1::digest(text) {
            // Writing to a string does not fail.
            let _ = write!(digest, "{byte:02x}");
        }
        Self {
            text: text.to_owned(),
            digest,
        }
    }

    pub(super) async fn run(
        &self,
        servers: &Servers,
        key: &[u8],
        arguments: &[impl ToRedisArgs],
    ) -> Result<Value, CallError> {
        let by_digest = command("EVALSHA", &self.digest, key, arguments);
        match servers.send(key, &by_digest).await {
            Err(CallError::Refused(error)) if error.code() == Some("NOSCRIPT") => {
                let in_full = command("EVAL", &self.text, key, arguments);
                servers.send(key, &in_full).await
            }
            outcome => outcome,
        }
    }
}

fn command(verb: &str, script: &str, key: &[u8], arguments: &[impl ToRedisArgs]) -> Cmd {
    let mut command = redis::cmd(verb);
    command.arg(script).arg(1).arg(key).arg(arguments);
    command
}
