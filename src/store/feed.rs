//! The node's LISTEN connection: by it the node hears of others at once, reads the control log,
//! renews its lease, and holds its name.
//!
//! It is outside of the pool, so that requests which use up the pool can keep neither a revocation
//! nor a lease waiting. A node has one. Its end means that the node may have missed something, and
//! that others may take its name.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio_postgres::types::ToSql;
use tokio_postgres::{AsyncMessage, Client, NoTls, Notification, Row, Statement as Prepared};

use super::control_log::{self, ControlPage};
use super::metrics::{HEARD_LOST, observe_query};
use super::nodes::{self, NodeRows, Renewal};
use super::statement::{Statement, statement};
use super::{SessionOptions, StoreError, seq};

const TAKE_NAME: Statement = statement!("nodes/take_name");
const HOLDER: Statement = statement!("nodes/holder");
const END_HOLDER: Statement = statement!("nodes/end_holder");

/// What the control log's statements notify of.
const CONTROL: &str = "hubbub_control";

/// What the statements on `nodes` notify of.
const NODES: &str = "hubbub_nodes";

/// The heads of rooms, from nodes that tell of them this way.
const HEADS: &str = "hubbub_heads";

/// Notices of heads that may wait: each is of up to some 250 rooms.
const HEADS_MAX: usize = 256;

/// Statements of this connection may wait so much longer for an answer than the server works on
/// one, or as long again if that is less.
const MARGIN: Duration = Duration::from_secs(1);

/// Where a node hears of what is told.
#[derive(Debug)]
pub struct Ears {
    /// There are new entries in the control log.
    pub control: Notify,
    /// Something has changed among the nodes.
    pub nodes: Notify,
    /// The connection has ended.
    pub ended: Notify,
    heads: mpsc::Sender<Box<str>>,
    heads_missed: AtomicU64,
}

impl Ears {
    /// Ears, and where the notices of heads come in. Beyond 256 they are lost and counted.
    #[must_use]
    pub fn new() -> (Arc<Self>, mpsc::Receiver<Box<str>>) {
        let (heads, heard) = mpsc::channel(HEADS_MAX);
        let ears = Self {
            control: Notify::new(),
            nodes: Notify::new(),
            ended: Notify::new(),
            heads,
            heads_missed: AtomicU64::new(0),
        };
        (Arc::new(ears), heard)
    }

    /// How many notices of heads were lost because too many waited.
    #[must_use]
    pub fn heads_missed(&self) -> u64 {
        self.heads_missed.load(Ordering::Relaxed)
    }

    fn hear(&self, notification: &Notification) {
        match notification.channel() {
            CONTROL => self.control.notify_one(),
            NODES => self.nodes.notify_one(),
            HEADS => self.hear_heads(notification.payload()),
            _ => {}
        }
    }

    fn hear_heads(&self, notice: &str) {
        if self.heads.try_send(notice.into()).is_err() {
            self.heads_missed.fetch_add(1, Ordering::Relaxed);
            HEARD_LOST.inc();
        }
    }
}

/// Who has a node's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameHolder {
    /// The server's process whose connection holds the lock; none if nobody does.
    pub pid: Option<i32>,
    /// The last life under this name; 0 if there was none.
    pub incarnation: u64,
    /// Its address.
    pub address: String,
    /// Whether its lease has not run out, by Postgres's clock.
    pub is_alive: bool,
    /// Until when it is, Postgres's time in microseconds; 0 if there was none.
    pub lease_until_us: i64,
    /// It was last renewed before the server was started: that nobody holds the lock tells nothing.
    pub is_of_before: bool,
}

/// The connection.
#[derive(Debug)]
pub struct Feed {
    client: Client,
    statements: Statements,
    pid: i32,
    patience: Duration,
    /// Dropped with it.
    _driver: Driver,
}

#[derive(Debug)]
struct Statements {
    control_after: Prepared,
    report: Prepared,
    peers: Prepared,
    take_name: Prepared,
    holder: Prepared,
    end_holder: Prepared,
}

impl Feed {
    /// Connects and listens, within the time that `options` give for connecting.
    pub async fn open(
        url: &str,
        options: &SessionOptions,
        ears: Arc<Ears>,
    ) -> Result<Self, StoreError> {
        let opening = Self::connect(url, options, ears);
        tokio::time::timeout(options.connect_timeout, opening)
            .await
            .map_err(|_| StoreError::Timeout {
                what: "the LISTEN connection",
            })?
    }

    async fn connect(
        url: &str,
        options: &SessionOptions,
        ears: Arc<Ears>,
    ) -> Result<Self, StoreError> {
        let options = SessionOptions {
            application_name: "hubbub-listen",
            // A predecessor that fell silent must not keep its name for long.
            keepalives: true,
            ..options.clone()
        };
        let config = options.apply(url)?;
        let (client, mut connection) = config
            .connect(NoTls)
            .await
            .map_err(StoreError::unavailable)?;
        let driver = Driver(tokio::spawn(async move {
            while let Some(message) =
                std::future::poll_fn(|context| connection.poll_message(context)).await
            {
                match message {
                    Ok(AsyncMessage::Notification(notification)) => ears.hear(&notification),
                    Ok(_) => {}
                    Err(error) => {
                        tracing::debug!(%error, "the LISTEN connection is lost");
                        break;
                    }
                }
            }
            // Who looks then must see that it is gone.
            drop(connection);
            ears.ended.notify_one();
        }));
        let sort = |error| StoreError::classify(error, "LISTEN");
        let listen = format!("LISTEN {CONTROL}; LISTEN {NODES}; LISTEN {HEADS}");
        client.batch_execute(&listen).await.map_err(sort)?;
        let prepare = async |statement: Statement| {
            let prepared = client.prepare(statement.sql).await;
            prepared.map_err(|error| StoreError::classify(error, statement.name))
        };
        let statements = Statements {
            control_after: prepare(control_log::AFTER).await?,
            report: prepare(nodes::REPORT).await?,
            peers: prepare(nodes::PEERS).await?,
            take_name: prepare(TAKE_NAME).await?,
            holder: prepare(HOLDER).await?,
            end_holder: prepare(END_HOLDER).await?,
        };
        let row = client
            .query_one("SELECT pg_backend_pid()", &[])
            .await
            .map_err(sort)?;
        Ok(Self {
            pid: row.try_get(0)?,
            client,
            statements,
            patience: options.statement_timeout + MARGIN.min(options.statement_timeout),
            _driver: driver,
        })
    }

    /// Whether the connection is gone.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// Whether another connection may help where this one has failed so: it is gone or silent, its
    /// server has become a standby, or does not know its statements any more. What a server refuses
    /// otherwise, as with a full disk, it would refuse on any.
    #[must_use]
    pub fn is_of_no_use(&self, error: &StoreError) -> bool {
        match error {
            StoreError::Timeout { .. } | StoreError::Other(_) => true,
            _ => self.is_closed() || error.is_of_standby(),
        }
    }

    /// The server's process of this connection.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// At most `limit` entries of the control log after `position`.
    pub async fn control_after(
        &self,
        position: u64,
        limit: u32,
    ) -> Result<ControlPage, StoreError> {
        let params: [&(dyn ToSql + Sync); 2] = [&seq::to_db(position), &i64::from(limit)];
        let rows = self
            .ask(
                control_log::AFTER.name,
                &self.statements.control_after,
                &params,
            )
            .await?;
        ControlPage::read(&rows)
    }

    /// The node lives and says how it is. False if a later life has its name.
    pub async fn report(&self, renewal: &Renewal) -> Result<bool, StoreError> {
        let (incarnation, connections) = renewal.numbers();
        let params = renewal.params(&incarnation, &connections);
        let row = self
            .ask_one(nodes::REPORT.name, &self.statements.report, &params)
            .await?;
        Ok(row.try_get("is_ours")?)
    }

    /// The nodes that have been heard of lately, and the node `id`.
    pub async fn peers(&self, id: &str) -> Result<NodeRows, StoreError> {
        let rows = self
            .ask(nodes::PEERS.name, &self.statements.peers, &[&id])
            .await?;
        NodeRows::read(&rows)
    }

    /// Takes a node's name for as long as this connection lasts. Whether it has it now.
    pub async fn take_name(&self, id: &str) -> Result<bool, StoreError> {
        let row = self
            .ask_one(
                TAKE_NAME.name,
                &self.statements.take_name,
                &[&nodes::name_key(id)],
            )
            .await?;
        Ok(row.try_get("is_ours")?)
    }

    /// Who has a node's name.
    pub async fn name_holder(&self, id: &str) -> Result<NameHolder, StoreError> {
        let row = self
            .ask_one(
                HOLDER.name,
                &self.statements.holder,
                &[&id, &nodes::name_key(id)],
            )
            .await?;
        let incarnation: Option<i64> = row.try_get("incarnation")?;
        let lease: Option<i64> = row.try_get("lease_until_us")?;
        let address: Option<String> = row.try_get("address")?;
        Ok(NameHolder {
            pid: row.try_get("pid")?,
            incarnation: seq::from_db(incarnation.unwrap_or_default())?,
            address: address.unwrap_or_default(),
            is_alive: row.try_get("is_alive")?,
            lease_until_us: lease.unwrap_or_default(),
            is_of_before: row.try_get("is_of_before")?,
        })
    }

    /// Ends the connection `pid` if it holds a node's name.
    pub async fn end_name_holder(&self, id: &str, pid: i32) -> Result<(), StoreError> {
        self.ask(
            END_HOLDER.name,
            &self.statements.end_holder,
            &[&nodes::name_key(id), &pid],
        )
        .await?;
        Ok(())
    }

    async fn ask(
        &self,
        name: &'static str,
        statement: &Prepared,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, StoreError> {
        let began = std::time::Instant::now();
        let rows = tokio::time::timeout(self.patience, self.client.query(statement, params))
            .await
            .map_err(|_| StoreError::Timeout { what: name })?
            .map_err(|error| StoreError::classify(error, name))?;
        observe_query(name, began.elapsed());
        Ok(rows)
    }

    async fn ask_one(
        &self,
        name: &'static str,
        statement: &Prepared,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Row, StoreError> {
        let rows = self.ask(name, statement, params).await?;
        rows.into_iter().next().ok_or_else(|| StoreError::Corrupt {
            what: "the answer of a statement",
            source: format!("{name} gave no row").into(),
        })
    }
}

/// The task that moves its bytes; the connection ends with it.
#[derive(Debug)]
struct Driver(JoinHandle<()>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}
