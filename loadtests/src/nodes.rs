//! One node, or two on the Postgres of the first with a Redis between them.

use std::path::Path;

use crate::cores::Cores;
use crate::error::LoadError;
use crate::node::{DataFolder, Node, NodeOptions};
use crate::postgres;
use crate::redis::Redis;

/// Two pools of the default size, and what each node opens besides, are more than the embedded
/// Postgres allows.
const POOL_MAX_OF_TWO: &str = "40";

/// How they are started.
#[derive(Clone, Copy)]
pub(crate) struct NodesOptions<'a> {
    pub(crate) binary: &'a Path,
    pub(crate) folder: Option<&'a Path>,
    /// The role and the database of the first node's Postgres.
    pub(crate) role: &'a str,
    pub(crate) database: &'a str,
    /// None: all processors.
    pub(crate) cores: Option<&'a Cores>,
    pub(crate) pair: bool,
    /// Further variables.
    pub(crate) settings: &'a [(&'static str, String)],
}

/// Nodes that listen; all they need ends with them. The fields are dropped in this order.
pub(crate) struct Nodes {
    pub(crate) second: Option<Node>,
    pub(crate) first: Node,
    pub(crate) redis: Option<Redis>,
    pub(crate) postgres: postgres::Running,
    folder: DataFolder,
}

impl Nodes {
    pub(crate) async fn start(options: &NodesOptions<'_>) -> Result<Self, LoadError> {
        let folder = DataFolder::new(options.folder)?;
        let redis = if options.pair {
            Some(Redis::start(options.cores).await?)
        } else {
            None
        };
        let data = folder.path().join("node");
        let first = Node::start(&NodeOptions {
            settings: &settings(redis.as_ref(), options.settings),
            cores: options.cores,
            ..NodeOptions::embedded(options.binary, data.clone())
        })
        .await?;
        let mut nodes = Self {
            second: None,
            first,
            redis,
            postgres: postgres::Running::find(&data)?,
            folder,
        };
        if options.pair {
            nodes.start_second(options).await?;
        }
        Ok(nodes)
    }

    /// Starts the second node, which may have been killed.
    pub(crate) async fn start_second(
        &mut self,
        options: &NodesOptions<'_>,
    ) -> Result<(), LoadError> {
        let url = self.postgres.url(options.role, options.database);
        let second = Node::start(&NodeOptions {
            binary: options.binary,
            data: self.folder.path().join("second"),
            database_url: Some(&url),
            settings: &settings(self.redis.as_ref(), options.settings),
            cores: options.cores,
        })
        .await?;
        self.second = Some(second);
        Ok(())
    }

    /// Where their data are, which goes with them.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Stops them as a deploy does. The first, which runs the Postgres, is the last.
    pub(crate) async fn stop(self) -> Result<(), LoadError> {
        if let Some(second) = self.second {
            second.stop().await?;
        }
        self.first.stop().await
    }
}

fn settings(
    redis: Option<&Redis>,
    further: &[(&'static str, String)],
) -> Vec<(&'static str, String)> {
    let mut settings = further.to_vec();
    // In the end there is nobody left who could be told to move.
    settings.push(("HUBBUB__HTTP__DRAIN_MS", "0".to_owned()));
    if let Some(redis) = redis {
        settings.push(("REDIS_URL", redis.url()));
        settings.push(("HUBBUB__DATABASE__POOL_MAX", POOL_MAX_OF_TWO.to_owned()));
    }
    settings
}
