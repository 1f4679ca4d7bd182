//! Connections that do not stay: visitors of a run, and those that only knock.

use super::connection::Purpose;
use super::knocking::Knocking;
use super::order::{Place, Report};
use super::{Generator, report};
use crate::error::LoadError;

impl Generator {
    /// Lets visitors come and go.
    pub(super) fn visit(&mut self, now_ns: u64) -> Result<(), LoadError> {
        loop {
            let Some(run) = &mut self.run else {
                return Ok(());
            };
            if run
                .departures
                .front()
                .is_some_and(|(due, ..)| *due <= now_ns)
                && let Some((_, index, life)) = run.departures.pop_front()
            {
                let left = match self.table.get(index) {
                    Some(connection) if connection.life == life => connection.leave(),
                    _ => continue,
                };
                if let Err(error) = left {
                    self.over(index, error.to_string())?;
                }
                continue;
            }
            let due = run.next_arrival_ns;
            let Some(churn) = run.order.churn.filter(|_| due <= now_ns) else {
                return Ok(());
            };
            let next = due + churn.interval_ns;
            let end = run.order.schedule.end();
            run.next_arrival_ns = if next < end { next } else { u64::MAX };
            run.arrivals += 1;
            run.visitors += 1;
            let place = self.any_place();
            self.connect(Purpose::Visitor, place, due)?;
        }
    }

    /// Somewhere for one who is no member: rooms and people take turns.
    fn any_place(&self) -> Place {
        let arrivals = self.run.as_ref().map_or(0, |run| run.arrivals);
        let turn = |count: usize| u32::try_from(arrivals % count.max(1) as u64).unwrap_or(0);
        let people = self.setup.tokens.len();
        let rooms = self.setup.rooms.len();
        // Person n is a member of room n modulo the number of rooms.
        let person = turn(people);
        let room = if people == 0 {
            turn(rooms)
        } else {
            person % u32::try_from(rooms.max(1)).unwrap_or(1)
        };
        Place {
            server: turn(self.servers.len()),
            room,
            person,
            sends: false,
        }
    }

    /// Begins what is to be begun of connections that only knock.
    pub(super) fn knock(&mut self, now_ns: u64) -> Result<(), LoadError> {
        while let Some(begun_ns) = self
            .knocking
            .as_mut()
            .and_then(|it| it.next_to_begin(now_ns))
        {
            let nobody = Place {
                server: 0,
                room: 0,
                person: 0,
                sends: false,
            };
            self.connect(Purpose::Knock, nobody, begun_ns)?;
        }
        Ok(())
    }

    /// One that knocks has done so.
    pub(super) fn knocked(&mut self, index: u32, now_ns: u64) -> Result<(), LoadError> {
        self.table.remove(index);
        if let Some(knocking) = &mut self.knocking {
            knocking.done(now_ns);
        }
        self.knock(now_ns)
    }

    pub(super) fn end_knocking(&mut self) -> Result<(), LoadError> {
        let late = self
            .table
            .all()
            .filter(|(_, it)| it.purpose == Purpose::Knock);
        let late: Vec<u32> = late.map(|(index, _)| index).collect();
        for index in late {
            self.over(index, "not done when the time was over".to_owned())?;
        }
        let finished = self.knocking.take().map(Knocking::finish);
        report(&Report::Connected(finished.unwrap_or_default()))
    }
}
