//! The writer's two lanes: their connections to Postgres, which are made again and again.

use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use actix::prelude::*;

use super::{Writer, WriterSettings, answer, key};
use crate::hub::journal::entry::unavailable;
use crate::hub::journal::flight::Link;
use crate::store::{Driver, SessionOptions, StoreError, connect_single};

/// One connection and what it is doing.
#[derive(Default)]
pub(super) struct Lane {
    pub(super) link: Option<Rc<Link>>,
    pub(super) busy: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LaneName {
    Main,
    Patient,
}

impl Writer {
    pub(super) fn lane(&mut self, name: LaneName) -> &mut Lane {
        match name {
            LaneName::Main => &mut self.main,
            LaneName::Patient => &mut self.patient,
        }
    }

    /// Connects a lane, trying again until it succeeds.
    pub(super) fn connect(&self, name: LaneName, ctx: &mut Context<Self>) {
        let settings = self.settings.clone();
        let number = self.slot.number;
        let connecting = async move {
            let first = Duration::from_millis(20);
            let longest = Duration::from_millis(settings.journal.reconnect_max_ms);
            let mut pause = first;
            loop {
                match open_link(&settings).await {
                    Ok(opened) => return opened,
                    Err(error) if pause == first => {
                        tracing::warn!(writer = number, lane = ?name, error = &error as &dyn std::error::Error, "the journal cannot connect, trying again");
                    }
                    Err(error) => {
                        tracing::debug!(writer = number, lane = ?name, %error, "still no connection");
                    }
                }
                tokio::time::sleep(pause.mul_f64(0.5 + rand::random::<f64>() / 2.0)).await;
                pause = (pause * 2).min(longest);
            }
        };
        ctx.spawn(
            connecting
                .into_actor(self)
                .map(move |(link, driver), this, ctx| {
                    // A connection that ends while nothing is on its way is noticed at once.
                    ctx.spawn(
                        driver
                            .into_actor(this)
                            .map(|_, this, ctx| this.advance(ctx)),
                    );
                    tracing::debug!(writer = number, lane = ?name, "the journal is connected");
                    this.lane(name).link = Some(Rc::new(link));
                    if name == LaneName::Main {
                        this.slot.stalled.store(false, Ordering::Relaxed);
                        this.slot.up.store(true, Ordering::Relaxed);
                        this.delivery.reconnected();
                    }
                    this.delivery.look_again(this.unknown.drain());
                    this.advance(ctx);
                }),
        );
    }

    pub(super) fn can_fly(&mut self, name: LaneName) -> bool {
        let lane = self.lane(name);
        lane.link.is_some() && !lane.busy
    }

    /// Drops a lane's connection; what waits is refused rather than kept waiting for a database
    /// that may be gone for long.
    pub(super) fn lose_link(&mut self, name: LaneName, ctx: &mut Context<Self>) {
        self.lane(name).link = None;
        let refused = match name {
            LaneName::Main => {
                self.slot.up.store(false, Ordering::Relaxed);
                self.queue.take_all()
            }
            LaneName::Patient => self.queue.take_patient(),
        };
        for entry in refused {
            for follower in self.followers.remove(&key(&entry)).unwrap_or_default() {
                answer(follower, Err(unavailable()), "unavailable");
            }
            answer(entry, Err(unavailable()), "unavailable");
        }
        self.connect(name, ctx);
    }
}

async fn open_link(settings: &WriterSettings) -> Result<(Link, Driver), LinkError> {
    let timeout = Duration::from_millis(settings.journal.flight_timeout_ms);
    let lock_timeout = Duration::from_millis(settings.journal.lock_timeout_ms);
    let opening = async {
        let options = SessionOptions {
            application_name: "hubbub-journal",
            synchronous_commit: Some(true),
            keepalives: false,
            ..settings.connect.clone()
        };
        let (client, driver) = connect_single(&settings.database_url, &options).await?;
        let link = Link::prepare(client, settings.limits, lock_timeout, timeout).await?;
        Ok((link, driver))
    };
    tokio::time::timeout(timeout, opening)
        .await
        .map_err(|_| LinkError::TimedOut)?
}

/// Why a lane could not be connected.
#[derive(Debug, thiserror::Error)]
enum LinkError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("preparing the journal's statements")]
    Prepare(#[from] tokio_postgres::Error),
    #[error("no connection within the time-out")]
    TimedOut,
}
