//! A program that is kept running.

use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::io::AsyncRead;
use tokio::process::{self, Command};
use tokio::sync::{mpsc, oneshot, watch};

use super::DevError;
use super::combined_log::CombinedLog;
use super::leftovers::Leftovers;
use super::pace::Pace;

/// Orders that may wait.
const ORDERS: usize = 4;

/// What a node says when clients may come.
const READY: &str = "listening on ";

/// How a process is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// By SIGTERM, and if that takes too long, by SIGKILL.
    Terminate,
    /// By SIGKILL.
    Kill,
}

/// A program that is started again when it ends.
#[derive(Debug)]
pub(super) struct Child {
    name: String,
    orders: mpsc::Sender<Order>,
    ready: watch::Receiver<bool>,
}

#[derive(Debug)]
struct Order {
    ending: Ending,
    grace: Duration,
    then: Then,
    done: oneshot::Sender<()>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    StartAgain,
    Stay,
}

impl Child {
    /// Starts it, within a running runtime.
    pub(super) fn start(
        name: &str,
        mut command: Command,
        log: &CombinedLog,
        leftovers: &Leftovers,
    ) -> Self {
        // A group of its own: what the terminal sends to ours is for us, and we stop them in order.
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        let (orders, inbox) = mpsc::channel(ORDERS);
        let (is_ready, ready) = watch::channel(false);
        let keeper = Keeper {
            name: name.to_owned(),
            command,
            orders: inbox,
            is_ready,
            log: log.clone(),
            leftovers: leftovers.clone(),
        };
        tokio::spawn(keeper.keep());
        Self {
            name: name.to_owned(),
            orders,
            ready,
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Waits until it has said that it is ready, in the life that it has.
    pub(super) async fn ready(&self, within: Duration) -> Result<(), DevError> {
        let mut ready = self.ready.clone();
        let is_ready = ready.wait_for(|is_ready| *is_ready);
        match tokio::time::timeout(within, is_ready).await {
            Ok(Ok(_)) => Ok(()),
            _ => Err(DevError::NotReady {
                name: self.name.clone(),
                seconds: within.as_secs(),
            }),
        }
    }

    /// Ends it and starts it again; returns when it has ended.
    pub(super) async fn restart(&self, grace: Duration) {
        self.order(Ending::Terminate, grace, Then::StartAgain).await;
    }

    /// Ends it for good.
    pub(super) async fn end(&self, ending: Ending, grace: Duration) {
        self.order(ending, grace, Then::Stay).await;
    }

    async fn order(&self, ending: Ending, grace: Duration, then: Then) {
        let (done, is_done) = oneshot::channel();
        let order = Order {
            ending,
            grace,
            then,
            done,
        };
        // Nobody there to take it has ended already.
        if self.orders.send(order).await.is_ok() {
            let _ = is_done.await;
        }
    }
}

/// The task that keeps it running.
struct Keeper {
    name: String,
    command: Command,
    orders: mpsc::Receiver<Order>,
    is_ready: watch::Sender<bool>,
    log: CombinedLog,
    leftovers: Leftovers,
}

impl Keeper {
    async fn keep(mut self) {
        let mut pace = Pace::default();
        loop {
            let begun = Instant::now();
            let why = match self.command.spawn() {
                Ok(mut process) => {
                    let leader = leader(&process);
                    self.attend(&mut process);
                    tokio::select! {
                        ended = process.wait() => {
                            // What it had started would be in the way of the next.
                            kill_rest(leader);
                            match ended {
                                Ok(status) => format!("ended ({status})"),
                                Err(error) => format!("cannot be waited for: {error}"),
                            }
                        }
                        order = self.orders.recv() => {
                            let Some(order) = order else { return };
                            let then = self.carry_out(&mut process, order).await;
                            self.is_ready.send_replace(false);
                            match then {
                                Then::StartAgain => continue,
                                Then::Stay => return,
                            }
                        }
                    }
                }
                Err(error) => format!("cannot be started: {error}"),
            };
            self.is_ready.send_replace(false);
            let pause = pace.died(begun.elapsed());
            let again = pause.as_millis();
            self.log
                .say(&format!("{} {why}; again in {again} ms", self.name));
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                order = self.orders.recv() => {
                    // It has ended already.
                    let Some(Order { then, done, .. }) = order else { return };
                    let _ = done.send(());
                    if then == Then::Stay {
                        return;
                    }
                }
            }
        }
    }

    /// Has it on the list, and its lines in the log.
    fn attend(&self, process: &mut process::Child) {
        if let Some(pid) = process.id() {
            self.leftovers.note(&self.name, pid);
        }
        if let Some(stream) = process.stdout.take() {
            self.follow(stream);
        }
        if let Some(stream) = process.stderr.take() {
            self.follow(stream);
        }
    }

    fn follow(&self, stream: impl AsyncRead + Unpin + Send + 'static) {
        let (log, name) = (self.log.clone(), self.name.clone());
        let is_ready = self.is_ready.clone();
        tokio::spawn(async move {
            let seen = |line: &str| {
                if line.contains(READY) {
                    is_ready.send_replace(true);
                }
            };
            log.follow(&name, stream, seen).await;
        });
    }

    /// Ends the process as the order says, or a later one: then what the last one says is done.
    async fn carry_out(&mut self, process: &mut process::Child, order: Order) -> Then {
        let group = leader(process);
        let mut done = vec![order.done];
        let mut then = order.then;
        let mut ending = order.ending;
        let mut grace = order.grace;
        loop {
            if ending == Ending::Terminate {
                send(process, Signal::TERM);
            } else {
                send(process, Signal::KILL);
            }
            tokio::select! {
                _ = process.wait() => break,
                () = tokio::time::sleep(grace) => {
                    let seconds = grace.as_secs();
                    self.log.say(&format!("{} did not end within {seconds} s: killing it", self.name));
                    ending = Ending::Kill;
                }
                Some(order) = self.orders.recv() => {
                    done.push(order.done);
                    then = order.then;
                    ending = order.ending;
                    grace = order.grace;
                }
            }
        }
        kill_rest(group);
        for done in done {
            let _ = done.send(());
        }
        then
    }
}

fn send(process: &process::Child, signal: Signal) {
    if let Some(pid) = leader(process) {
        // It may just have ended.
        let _ = kill_process(pid, signal);
    }
}

/// The process that leads its group.
fn leader(process: &process::Child) -> Option<Pid> {
    let pid = i32::try_from(process.id()?).ok()?;
    Pid::from_raw(pid)
}

/// Kills what is left of a group whose leader has ended.
fn kill_rest(leader: Option<Pid>) {
    if let Some(leader) = leader {
        // Usually there is nothing left.
        let _ = kill_process_group(leader, Signal::KILL);
    }
}
