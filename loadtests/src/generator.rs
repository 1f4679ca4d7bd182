//! A generator: a process of its own with thousands of connections on one thread. It does what the
//! measuring process orders on its standard input, and ends when that is closed.
//!
//! It looks at no more of a delivery than its frame header and its [`crate::marker`], because it
//! shares the machine with what it measures.

mod connection;
mod knocking;
mod members;
pub(crate) mod order;
pub(crate) mod poll;
mod receive;
mod run;
mod visitors;

use std::io::{self, Write as _};
use std::net::SocketAddr;

use connection::{Connection, Sources};
use knocking::Knocking;
use members::Opening;
use order::{Order, Report, Setup};
use poll::{Poll, Ready};
use run::Running;

use crate::clock;
use crate::error::LoadError;

/// What is read at once from a socket. Many deliveries fit in, so that one read is enough.
const BUFFER_BYTES: usize = 256 * 1024;

/// Connections, by index.
#[derive(Default)]
struct Table {
    places: Vec<Option<Connection>>,
    free: Vec<u32>,
    lives: u32,
}

impl Table {
    fn get(&mut self, index: u32) -> Option<&mut Connection> {
        self.places.get_mut(index as usize)?.as_mut()
    }

    fn insert(&mut self, mut connection: Connection) -> u32 {
        self.lives = self.lives.wrapping_add(1);
        connection.life = self.lives;
        if let Some(index) = self.free.pop() {
            self.places[index as usize] = Some(connection);
            return index;
        }
        self.places.push(Some(connection));
        // There are no more than open files.
        u32::try_from(self.places.len() - 1).unwrap_or(u32::MAX)
    }

    fn remove(&mut self, index: u32) -> Option<Connection> {
        let gone = self.places.get_mut(index as usize)?.take();
        if gone.is_some() {
            self.free.push(index);
        }
        gone
    }

    fn all(&mut self) -> impl Iterator<Item = (u32, &mut Connection)> {
        let places = (0..).zip(&mut self.places);
        places.filter_map(|(index, place)| Some((index, place.as_mut()?)))
    }
}

struct Generator {
    setup: Setup,
    servers: Vec<SocketAddr>,
    sources: Sources,
    poll: Poll,
    table: Table,
    buffer: Vec<u8>,
    opening: Option<Opening>,
    run: Option<Running>,
    knocking: Option<Knocking>,
    /// Members that ended since the last run was reported.
    ended: Vec<String>,
}

/// Does what is ordered until no more orders come.
pub(crate) fn run() -> Result<(), LoadError> {
    let input = io::stdin();
    let poll = Poll::new(&input).map_err(LoadError::io("waiting for orders"))?;
    let mut orders = Orders::default();
    let Some(Order::Setup(setup)) = orders.first()? else {
        return Err(LoadError::Unexpected("no setup".to_owned()));
    };
    let parse = |address: &String| {
        let no_address = |_| LoadError::Unexpected(format!("{address} is no address"));
        address.parse().map_err(no_address)
    };
    let servers = setup
        .addresses
        .iter()
        .map(parse)
        .collect::<Result<_, _>>()?;
    let mut generator = Generator {
        servers,
        sources: Sources::new(setup.source_net),
        poll,
        table: Table::default(),
        buffer: vec![0; BUFFER_BYTES],
        opening: None,
        run: None,
        knocking: None,
        ended: Vec::new(),
        setup,
    };
    let ended = generator.obey(&mut orders);
    if let Err(error) = &ended {
        report(&Report::Failed(error.with_causes()))?;
    }
    ended
}

impl Generator {
    fn obey(&mut self, orders: &mut Orders) -> Result<(), LoadError> {
        let mut ready = Vec::new();
        // More may have come with the first order.
        self.take_all(orders)?;
        let mut deadline = self.act()?;
        loop {
            self.poll
                .wake_at(deadline)
                .and_then(|()| self.poll.wait(&mut ready))
                .map_err(LoadError::io("waiting for sockets"))?;
            for what in &ready {
                match *what {
                    Ready::Orders => {
                        if !orders.read()? {
                            return Ok(());
                        }
                        self.take_all(orders)?;
                    }
                    Ready::Connection {
                        index,
                        life,
                        reads,
                        writes,
                    } => {
                        self.serve(index, life, reads, writes)?;
                    }
                }
                // What is due does not wait until everything has been read.
                if clock::now() >= deadline {
                    deadline = self.act()?;
                }
            }
            deadline = self.act()?;
        }
    }

    fn take_all(&mut self, orders: &mut Orders) -> Result<(), LoadError> {
        while let Some(order) = orders.next()? {
            self.take(order)?;
        }
        Ok(())
    }

    fn take(&mut self, order: Order) -> Result<(), LoadError> {
        match order {
            Order::Setup(_) => return Err(LoadError::Unexpected("a second setup".to_owned())),
            Order::Open(open) => self.open(open),
            Order::Join => self.join_all(),
            Order::Run(run) => self.begin_run(run)?,
            Order::Connect(connect) => self.knocking = Some(Knocking::new(connect)?),
        }
        Ok(())
    }

    /// Does what is due, and says when something is due next.
    fn act(&mut self) -> Result<u64, LoadError> {
        self.open_some()?;
        let mut now = clock::now();
        let mut deadline = u64::MAX;
        if self.run.is_some() {
            self.send_due(now)?;
            now = clock::now();
            self.visit(now)?;
            match &self.run {
                Some(run) if run.is_over(now) => self.end_run()?,
                Some(run) => deadline = run.next_ns(now),
                None => {}
            }
        }
        if self.knocking.is_some() {
            self.knock(now)?;
            match &self.knocking {
                Some(knocking) if knocking.is_over(now) => self.end_knocking()?,
                Some(knocking) => deadline = deadline.min(knocking.next_ns(now)),
                None => {}
            }
        }
        Ok(deadline)
    }
}

/// Tells the measuring process something.
fn report(report: &Report) -> Result<(), LoadError> {
    let mut line =
        serde_json::to_vec(report).map_err(|error| LoadError::Unexpected(error.to_string()))?;
    line.push(b'\n');
    let mut output = io::stdout().lock();
    output
        .write_all(&line)
        .and_then(|()| output.flush())
        .map_err(LoadError::io("reporting"))
}

/// Lines of orders.
#[derive(Default)]
struct Orders {
    bytes: Vec<u8>,
}

impl Orders {
    /// Waits for the first one.
    fn first(&mut self) -> Result<Option<Order>, LoadError> {
        while self.read()? {
            if let Some(order) = self.next()? {
                return Ok(Some(order));
            }
        }
        Ok(None)
    }

    /// Reads what there is; false at the end.
    fn read(&mut self) -> Result<bool, LoadError> {
        let mut some = vec![0; 64 * 1024];
        let count = rustix::io::read(io::stdin(), &mut some)
            .map_err(|error| LoadError::io("reading orders")(error.into()))?;
        self.bytes.extend_from_slice(&some[..count]);
        Ok(count > 0)
    }

    fn next(&mut self) -> Result<Option<Order>, LoadError> {
        let Some(end) = memchr::memchr(b'\n', &self.bytes) else {
            return Ok(None);
        };
        let line: Vec<u8> = self.bytes.drain(..=end).collect();
        serde_json::from_slice(&line)
            .map(Some)
            .map_err(|error| LoadError::Unexpected(format!("an order: {error}")))
    }
}
