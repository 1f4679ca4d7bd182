//! A generator of requests: a process of its own with all its connections on one thread. It is given
//! one order, does it, and reports. It ends when nobody would read the report any more.

use std::collections::VecDeque;
use std::io::{self, BufRead as _, Write as _};
use std::net::SocketAddr;
use std::time::Duration;

use super::client::{Answer, Asked as UnderWay, Client};
use super::order::{Asked, Asking, Order, Pace};
use super::requests::{Question, Requests};
use super::response::How;
use crate::clock::{self, NS_PER_S};
use crate::error::LoadError;
use crate::generator::poll::{Poll, Ready};
use crate::samples::Samples;

/// What is read at once from a socket: more than an answer.
const BUFFER_BYTES: usize = 256 * 1024;

/// How long answers are waited for after the end.
const TAIL_NS: u64 = 10 * NS_PER_S;

/// Different things that are told to be wrong.
const REASONS_MAX: usize = 10;

struct Asker {
    order: Order,
    /// How answers to reads may come about.
    how: Vec<How>,
    requests: Requests,
    clients: Vec<Client>,
    /// Those that nothing is asked over, the one that was first in front.
    free: VecDeque<usize>,
    /// Requests that have come due at a fixed rate.
    due: u64,
    request: Vec<u8>,
    /// The length of the first answer, if the body is not known.
    first_bytes: Option<usize>,
    /// Nothing more is asked.
    is_exhausted: bool,
    asked: Asked,
    latency: Samples,
    write_latency: Samples,
    slip: Samples,
    ways: [u64; How::ALL.len()],
}

/// Does what is ordered on the standard input.
pub(crate) fn run() -> Result<(), LoadError> {
    let mut line = String::new();
    let input = io::stdin();
    input
        .lock()
        .read_line(&mut line)
        .map_err(LoadError::io("reading an order"))?;
    let asked = match serde_json::from_str(&line) {
        Ok(order) => ask(order),
        Err(error) => Err(LoadError::Unexpected(format!("an order: {error}"))),
    };
    let asked = match asked {
        Ok(Some(asked)) => asked,
        // Nobody waits.
        Ok(None) => return Ok(()),
        Err(error) => Asked {
            failed: Some(error.with_causes()),
            ..Asked::default()
        },
    };
    let report =
        serde_json::to_string(&asked).map_err(|error| LoadError::Unexpected(error.to_string()))?;
    writeln!(io::stdout(), "{report}").map_err(LoadError::io("reporting"))
}

fn ask(order: Order) -> Result<Option<Asked>, LoadError> {
    let waiting = LoadError::io("waiting for sockets");
    let mut poll = Poll::new(io::stdin()).map_err(waiting)?;
    let mut asker = Asker::new(order, &poll)?;
    let mut ready = Vec::new();
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let deadline = asker.act()?;
        if asker.is_over() {
            return asker.finish().map(Some);
        }
        poll.wake_at(deadline)
            .and_then(|()| poll.wait(&mut ready))
            .map_err(LoadError::io("waiting for sockets"))?;
        for what in &ready {
            match *what {
                // No second order comes: the one who waits for the report is gone.
                Ready::Orders => return Ok(None),
                Ready::Connection { index, .. } => asker.serve(index as usize, &mut buffer)?,
            }
        }
    }
}

impl Asker {
    fn new(order: Order, poll: &Poll) -> Result<Self, LoadError> {
        let no_address = |_| LoadError::Unexpected(format!("{} is no address", order.address));
        let address: SocketAddr = order.address.parse().map_err(no_address)?;
        let mut clients = Vec::with_capacity(order.connections);
        for number in 0..u32::try_from(order.connections).unwrap_or(u32::MAX) {
            let client = Client::connect(address, number.into())
                .map_err(LoadError::io("connecting to the server"))?;
            poll.add(client.stream(), number, 0, false)
                .map_err(LoadError::io("watching a socket"))?;
            clients.push(client);
        }
        let how = How::ALL.into_iter();
        Ok(Self {
            how: how
                .filter(|how| order.wanted.how.iter().any(|name| name == how.name()))
                .collect(),
            requests: Requests::new(&order.address, &order.tokens, &order.asking)?,
            free: (0..clients.len()).collect(),
            clients,
            due: 0,
            request: Vec::new(),
            first_bytes: None,
            is_exhausted: false,
            asked: Asked::default(),
            latency: Samples::new()?,
            write_latency: Samples::new()?,
            slip: Samples::new()?,
            ways: [0; How::ALL.len()],
            order,
        })
    }

    /// Sends what is to be sent now, and says when something is to be done next.
    fn act(&mut self) -> Result<u64, LoadError> {
        let Order {
            start_ns,
            end_ns,
            pace,
            ..
        } = self.order;
        let now = clock::now();
        if now < start_ns {
            return Ok(start_ns);
        }
        match pace {
            Pace::Closed | Pace::Once => {
                while now < end_ns
                    && !self.is_exhausted
                    && let Some(index) = self.free.pop_front()
                {
                    // A storm is of one moment, however long it takes to send it.
                    let due_ns = if matches!(pace, Pace::Once) {
                        start_ns
                    } else {
                        clock::now()
                    };
                    self.send(index, due_ns)?;
                }
                if matches!(pace, Pace::Once) {
                    self.is_exhausted = true;
                }
            }
            Pace::Open { interval_ns } => {
                let due = |count| start_ns + count * interval_ns;
                while due(self.due) <= now && due(self.due) < end_ns && !self.is_exhausted {
                    let Some(index) = self.free.pop_front() else {
                        // Whoever is answered next sends it.
                        return Ok(end_ns + TAIL_NS);
                    };
                    let due_ns = due(self.due);
                    self.due += 1;
                    self.note_slip(due_ns);
                    self.send(index, due_ns)?;
                }
                let next = due(self.due);
                if next < end_ns && !self.is_exhausted {
                    return Ok(next);
                }
            }
        }
        Ok(if now < end_ns {
            end_ns
        } else {
            end_ns + TAIL_NS
        })
    }

    fn note_slip(&mut self, due_ns: u64) {
        if due_ns >= self.order.measured_from_ns {
            let late = clock::now().saturating_sub(due_ns);
            self.slip.add(Duration::from_nanos(late));
        }
    }

    fn send(&mut self, index: usize, due_ns: u64) -> Result<(), LoadError> {
        let Some(question) = self.requests.next(index, &mut self.request) else {
            self.is_exhausted = true;
            self.free.push_back(index);
            return Ok(());
        };
        self.asked.sent += 1;
        let under_way = UnderWay { question, due_ns };
        self.clients[index]
            .send(&self.request, under_way)
            .map_err(LoadError::io("sending a request"))
    }

    /// Reads from a connection, and goes on if it was answered.
    fn serve(&mut self, index: usize, buffer: &mut [u8]) -> Result<(), LoadError> {
        let answer = self.clients[index].read(buffer);
        let Some(answer) = answer.map_err(LoadError::io("reading an answer"))? else {
            return Ok(());
        };
        let now = clock::now();
        self.judge(&answer, now);
        match self.order.pace {
            Pace::Closed if now < self.order.end_ns && !self.is_exhausted => self.send(index, now),
            Pace::Open { interval_ns } => {
                let due_ns = self.order.start_ns + self.due * interval_ns;
                if due_ns > now || due_ns >= self.order.end_ns || !self.free.is_empty() {
                    self.free.push_back(index);
                    return Ok(());
                }
                // It came due while no connection was free: the server's delay, which counts.
                self.due += 1;
                self.asked.held_back += 1;
                self.send(index, due_ns)
            }
            _ => {
                self.free.push_back(index);
                Ok(())
            }
        }
    }

    fn judge(&mut self, answer: &Answer, now_ns: u64) {
        let Order {
            start_ns,
            measured_from_ns,
            end_ns,
            ..
        } = self.order;
        self.asked.last_ns = now_ns.saturating_sub(start_ns);
        if (measured_from_ns..end_ns).contains(&now_ns) {
            self.asked.answered += 1;
        }
        let due_ns = answer.asked.due_ns;
        let counts = due_ns >= measured_from_ns;
        let writes = answer.asked.question == Question::Write;
        if counts {
            let latency = Duration::from_nanos(now_ns.saturating_sub(due_ns));
            if writes {
                self.write_latency.add(latency);
            } else {
                self.latency.add(latency);
                self.ways[answer.how as usize] += 1;
            }
        }
        if let Some(wrong) = self.wrong(answer, counts) {
            let wrongs = &mut self.asked.wrong;
            let is_new = !wrongs.contains_key(&wrong);
            let wrong = if is_new && wrongs.len() >= REASONS_MAX {
                "others".to_owned()
            } else {
                wrong
            };
            *wrongs.entry(wrong).or_default() += 1;
        }
        self.asked.verified += u64::from(answer.body.is_some());
    }

    /// What is wrong with an answer; nothing if it is what was asked for.
    fn wrong(&mut self, answer: &Answer, counts: bool) -> Option<String> {
        let wanted = &self.order.wanted;
        let text = || {
            let body = answer.body.as_deref().unwrap_or_default();
            String::from_utf8_lossy(&body[..body.len().min(200)]).into_owned()
        };
        if answer.asked.question == Question::Write {
            let status = answer.status;
            return (status != 201).then(|| format!("a write is answered {status} {}", text()));
        }
        if answer.status != wanted.status {
            let (status, wanted) = (answer.status, wanted.status);
            return Some(format!("status {status}, not {wanted} {}", text()));
        }
        if counts && !self.how.contains(&answer.how) {
            return Some(format!("X-Cache: {}", answer.how.name()));
        }
        match (&wanted.body, answer.asked.question) {
            (Some(body), _) => {
                let is_other = answer.body.as_ref().is_some_and(|it| it != body.as_bytes());
                if answer.body_bytes != body.len() {
                    return Some(format!("{} bytes, not {}", answer.body_bytes, body.len()));
                }
                is_other.then(|| "another body".to_owned())
            }
            (None, Question::Page { before }) => {
                let body = answer.body.as_ref()?;
                (!self.is_page(body, before)).then(|| format!("not the page: {}", text()))
            }
            (None, _) => {
                let first = *self.first_bytes.get_or_insert(answer.body_bytes);
                let bytes = answer.body_bytes;
                (bytes != first).then(|| format!("{bytes} bytes, the first had {first}"))
            }
        }
    }

    fn is_page(&self, body: &[u8], before: Option<u32>) -> bool {
        let limit = match &self.order.asking {
            Asking::Same { .. } => return true,
            Asking::Pages { limit, .. } => *limit,
            Asking::Mix(mix) => mix.limit,
        };
        let page: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
        let Some(messages) = page["messages"].as_array() else {
            return false;
        };
        let last = messages.last().and_then(|last| last["seq"].as_u64());
        messages.len() == limit as usize
            && before.is_none_or(|before| last == Some(u64::from(before) - 1))
    }

    fn is_over(&self) -> bool {
        let now = clock::now();
        if now >= self.order.end_ns + TAIL_NS {
            return true;
        }
        let is_at_rest = self.free.len() == self.clients.len();
        is_at_rest && (now >= self.order.end_ns || self.is_exhausted)
    }

    fn finish(mut self) -> Result<Asked, LoadError> {
        let open = self.clients.len() - self.free.len();
        if open > 0 {
            let what = format!("{open} requests were never answered");
            return Err(LoadError::Generator(what));
        }
        if self.is_exhausted && !matches!(self.order.pace, Pace::Once) {
            let what = "has asked for all pages: there are too few messages for so long a run";
            return Err(LoadError::Generator(what.to_owned()));
        }
        if let Pace::Open { interval_ns } = self.order.pace {
            let time = self.order.end_ns - self.order.start_ns;
            self.asked.given_up = time.div_ceil(interval_ns).saturating_sub(self.due);
        }
        self.asked.latency = self.latency.counts();
        self.asked.write_latency = self.write_latency.counts();
        self.asked.slip = self.slip.counts();
        let ways = How::ALL.iter().zip(self.ways);
        let ways = ways.filter(|(_, count)| *count > 0);
        self.asked.how = ways
            .map(|(how, count)| (how.name().to_owned(), count))
            .collect();
        Ok(self.asked)
    }
}
