//! Connections that come, what they do in their rooms, and how they go.

use std::collections::VecDeque;

use super::connection::{Connection, Phase, Purpose};
use super::order::{Open, Place, Report, Run};
use super::run::Running;
use super::{Generator, report};
use crate::clock;
use crate::dialect::Identity;
use crate::error::LoadError;
use crate::sequence::Sequence;

/// Every so many-th member's deliveries are parsed.
const SAMPLED: u32 = 50;

/// Connections that are coming into their places.
pub(super) struct Opening {
    todo: VecDeque<Todo>,
    under_way: usize,
    at_once: usize,
    join: bool,
}

enum Todo {
    Open(Place),
    Join(u32),
}

impl Generator {
    pub(super) fn open(&mut self, order: Open) {
        self.opening = Some(Opening {
            todo: order.places.into_iter().map(Todo::Open).collect(),
            under_way: 0,
            at_once: order.at_once.max(1),
            join: order.join,
        });
    }

    pub(super) fn join_all(&mut self) {
        let members = self.table.all();
        let bare = members.filter(|(_, it)| it.phase == Phase::Bare);
        self.opening = Some(Opening {
            todo: bare.map(|(index, _)| Todo::Join(index)).collect(),
            under_way: 0,
            at_once: 64,
            join: true,
        });
    }

    /// Goes on with those that are coming.
    pub(super) fn open_some(&mut self) -> Result<(), LoadError> {
        loop {
            let Some(opening) = &mut self.opening else {
                return Ok(());
            };
            if opening.under_way < opening.at_once
                && let Some(todo) = opening.todo.pop_front()
            {
                opening.under_way += 1;
                match todo {
                    Todo::Open(place) => self.connect(Purpose::Member, place, clock::now())?,
                    Todo::Join(index) => self.join(index)?,
                }
                continue;
            }
            if opening.under_way == 0 {
                self.opening = None;
                let open = self.table.all().count();
                return report(&Report::Ready { open });
            }
            return Ok(());
        }
    }

    /// Begins a connection, which counts from that time on.
    pub(super) fn connect(
        &mut self,
        purpose: Purpose,
        place: Place,
        begun_ns: u64,
    ) -> Result<(), LoadError> {
        let setup = &self.setup;
        let nobody = String::new();
        let own;
        let room = if purpose == Purpose::Knock {
            // What it asks a relay comes back to everybody in its room: it is alone there.
            own = format!("knock-{}-{begun_ns}", setup.source_net);
            &own
        } else {
            setup.rooms.get(place.room as usize).unwrap_or(&nobody)
        };
        let (Some(server), Some(host)) = (
            self.servers.get(place.server as usize),
            setup.addresses.get(place.server as usize),
        ) else {
            return Err(LoadError::Unexpected(format!("no server {}", place.server)));
        };
        let request = setup.dialect.handshake(&Identity {
            host,
            token: setup.tokens.get(place.person as usize).unwrap_or(&nobody),
            room,
            deflate: setup.deflate,
        });
        let stream = self
            .sources
            .connect(*server)
            .map_err(LoadError::io("connecting"))?;
        let mut connection = Connection::new(stream, purpose, place, begun_ns);
        connection.feed(request.as_bytes());
        let index = self.table.insert(connection);
        let Some(connection) = self.table.get(index) else {
            return Ok(());
        };
        connection.sampled = purpose == Purpose::Member && index.is_multiple_of(SAMPLED);
        // On loopback it is mostly connected already, and the request gone with the first try.
        let sent = connection.flush();
        let added = sent.and_then(|left| {
            connection.waits = left;
            self.poll
                .add(&connection.stream, index, connection.life, left)
        });
        match added {
            Ok(()) => Ok(()),
            Err(error) => self.over(index, error.to_string()),
        }
    }

    /// The handshake is done.
    pub(super) fn upgraded(&mut self, index: u32) -> Result<(), LoadError> {
        let Some(connection) = self.table.get(index) else {
            return Ok(());
        };
        let (begun, knocks) = (connection.begun_ns, connection.purpose == Purpose::Knock);
        match self.setup.dialect.greetings() {
            0 => connection.phase = Phase::Bare,
            some => connection.phase = Phase::Greeting(some),
        }
        let now = clock::now();
        if let Some(knocking) = self.knocking.as_mut().filter(|_| knocks) {
            knocking.upgraded(begun, now);
            if !knocking.order.first_reply {
                return self.knocked(index, now);
            }
        }
        if self.setup.dialect.greetings() > 0 {
            return Ok(());
        }
        self.opened(index)
    }

    /// It is open.
    fn opened(&mut self, index: u32) -> Result<(), LoadError> {
        let Some(connection) = self.table.get(index) else {
            return Ok(());
        };
        match connection.purpose {
            Purpose::Visitor => self.join(index),
            Purpose::Knock => {
                connection.phase = Phase::Asking;
                let probe = self.setup.dialect.probe();
                self.say(index, &probe)
            }
            Purpose::Member => match &mut self.opening {
                Some(opening) if opening.join => self.join(index),
                Some(opening) => {
                    opening.under_way -= 1;
                    Ok(())
                }
                None => Ok(()),
            },
        }
    }

    fn join(&mut self, index: u32) -> Result<(), LoadError> {
        let Some(connection) = self.table.get(index) else {
            return Ok(());
        };
        connection.phase = Phase::Asking;
        let room = connection.place.room as usize;
        let joins = self
            .setup
            .rooms
            .get(room)
            .and_then(|room| self.setup.dialect.join(room));
        if let Some(request) = joins {
            return self.say(index, &request);
        }
        self.joined(index);
        Ok(())
    }

    /// What was asked was answered.
    pub(super) fn replied(&mut self, index: u32) -> Result<(), LoadError> {
        let Some(connection) = self.table.get(index) else {
            return Ok(());
        };
        match (connection.phase, connection.purpose) {
            (Phase::Greeting(0 | 1) | Phase::Asking, Purpose::Knock) => {
                let begun = connection.begun_ns;
                let now = clock::now();
                if let Some(knocking) = &mut self.knocking {
                    knocking.replied(begun, now);
                }
                self.knocked(index, now)
            }
            (Phase::Greeting(0 | 1), _) => {
                connection.phase = Phase::Bare;
                self.opened(index)
            }
            (Phase::Greeting(more), _) => {
                connection.phase = Phase::Greeting(more - 1);
                Ok(())
            }
            (Phase::Asking, _) => {
                self.joined(index);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// It is in its room.
    fn joined(&mut self, index: u32) {
        let now = clock::now();
        let Some(connection) = self.table.get(index) else {
            return;
        };
        connection.phase = Phase::Live;
        match connection.purpose {
            Purpose::Member => {
                if let Some(opening) = &mut self.opening {
                    opening.under_way -= 1;
                }
            }
            Purpose::Visitor => {
                if let Some(run) = &mut self.run {
                    run.arrived(connection.begun_ns, now);
                    let stay = run.order.churn.map_or(0, |churn| churn.stay_ns);
                    run.departures
                        .push_back((now + stay, index, connection.life));
                }
            }
            Purpose::Knock => {}
        }
    }

    pub(super) fn begin_run(&mut self, order: Run) -> Result<(), LoadError> {
        let mut senders = vec![None; self.setup.rooms.len()];
        let mut members = 0;
        for (index, connection) in self.table.all() {
            connection.sequence = Sequence::from_start();
            members += 1;
            if connection.place.sends
                && let Some(sender) = senders.get_mut(connection.place.room as usize)
            {
                *sender = Some(index);
            }
        }
        let mut run = Running::new(order, senders, members, self.servers.len())?;
        self.tell_ended(&mut run);
        self.run = Some(run);
        Ok(())
    }

    /// Sends every message that is due.
    pub(super) fn send_due(&mut self, now_ns: u64) -> Result<(), LoadError> {
        let Some(run) = &mut self.run else {
            return Ok(());
        };
        let mut touched = Vec::new();
        while let Some(message) = run.turns.take_due(now_ns) {
            let room = message.0 as usize;
            let Some(index) = run.senders[room] else {
                continue;
            };
            match self.table.places.get_mut(index as usize) {
                Some(Some(sender)) => {
                    let setup = &self.setup;
                    let as_whom = (
                        setup.dialect,
                        setup.rooms[room].as_str(),
                        setup.payload_bytes,
                    );
                    run.send(sender, message, now_ns, as_whom);
                }
                _ => run.ran.unsent += 1,
            }
            if !touched.contains(&index) {
                touched.push(index);
            }
        }
        for index in touched {
            self.flush(index)?;
        }
        Ok(())
    }

    pub(super) fn end_run(&mut self) -> Result<(), LoadError> {
        let Some(mut run) = self.run.take() else {
            return Ok(());
        };
        let messages = run.order.schedule.messages;
        let mut late = Vec::new();
        for (index, connection) in self.table.all() {
            match connection.purpose {
                Purpose::Member => {
                    run.close_account(connection.place.server, &connection.sequence, messages);
                }
                _ => late.push((index, connection.phase)),
            }
        }
        for (index, phase) in late {
            self.table.remove(index);
            match phase {
                Phase::Live | Phase::Leaving => run.ran.came += 1,
                _ => run.ran.failed += 1,
            }
        }
        report(&Report::Ran(run.finish()))
    }
}
