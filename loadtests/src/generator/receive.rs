//! What comes from the sockets.

use std::io::{self, Read as _};

use super::connection::{Phase, Purpose, not_yet};
use super::{Generator, run};
use crate::clock;
use crate::dialect::Heard;
use crate::error::LoadError;
use crate::frames::{BINARY, CLOSE, Frames, PING, PONG, TEXT, from_client};
use crate::marker::Marker;

/// What a read has brought besides deliveries.
#[derive(Default)]
struct Asides {
    upgraded: bool,
    heard: Vec<Heard>,
    pongs: Vec<u8>,
    /// Why the connection is over.
    over: Option<String>,
}

impl Generator {
    /// Reads and writes what is possible.
    pub(super) fn serve(
        &mut self,
        index: u32,
        life: u32,
        reads: bool,
        writes: bool,
    ) -> Result<(), LoadError> {
        // It may have ended, and another come in its place, since the event was taken.
        if self
            .table
            .get(index)
            .is_none_or(|connection| connection.life != life)
        {
            return Ok(());
        }
        if writes {
            self.flush(index)?;
        }
        if !reads {
            return Ok(());
        }
        let asides = self.receive(index);
        if let Some(asides) = asides {
            self.deal_with(index, asides)?;
        }
        Ok(())
    }

    /// Reads once; deliveries are counted at once, what else there is is given back.
    fn receive(&mut self, index: u32) -> Option<Asides> {
        let connection = self.table.places.get_mut(index as usize)?.as_mut()?;
        let held = connection.partial.len();
        self.buffer[..held].copy_from_slice(&connection.partial);
        let count = match connection.stream.read(&mut self.buffer[held..]) {
            Ok(0) => return Some(Asides::over("the server hung up")),
            Ok(count) => count,
            Err(error) if not_yet(&error) || error.kind() == io::ErrorKind::Interrupted => {
                return None;
            }
            Err(error) => return Some(Asides::over(error.to_string())),
        };
        let now = clock::now();
        let mut bytes = &self.buffer[..held + count];
        let mut asides = None;
        let dialect = self.setup.dialect;
        if connection.phase == Phase::Upgrading {
            match dialect.accepted(bytes) {
                Ok(Some(length)) => {
                    bytes = &bytes[length..];
                    let upgraded: &mut Asides = asides.get_or_insert_default();
                    upgraded.upgraded = true;
                }
                Ok(None) => {
                    connection.partial = bytes.to_vec();
                    return None;
                }
                Err(answer) => return Some(Asides::over(answer)),
            }
        }
        let mut frames = Frames::new(bytes);
        loop {
            let frame = match frames.next() {
                Ok(Some(frame)) => frame,
                Ok(None) => break,
                Err(error) => return Some(Asides::over(error.to_string())),
            };
            match frame.opcode {
                TEXT | BINARY if frame.compressed => {
                    return Some(Asides::over("a frame is compressed"));
                }
                TEXT | BINARY => {
                    let place = &mut connection.marker_place;
                    if let Some(marker) = Marker::find(frame.payload, place) {
                        if let Some(run) = &mut self.run {
                            let as_whom = (dialect, self.setup.payload_bytes);
                            run.deliver(connection, marker, now, &frame, as_whom);
                        }
                        continue;
                    }
                    let heard = dialect.hear(&frame);
                    if heard != Heard::Aside {
                        asides.get_or_insert_default().heard.push(heard);
                    }
                }
                PING => {
                    let pong = from_client(PONG, frame.payload);
                    asides.get_or_insert_default().pongs.extend(pong);
                }
                CLOSE => {
                    let code = frame.payload.first_chunk().copied().map(u16::from_be_bytes);
                    let reason = code.map_or("closed without a code".to_owned(), |code| {
                        format!("closed with {code}")
                    });
                    asides.get_or_insert_default().over = Some(reason);
                    break;
                }
                _ => {}
            }
        }
        let rest = frames.rest();
        if rest.is_empty() && held > 0 {
            // An idle connection holds no buffer.
            connection.partial = Vec::new();
        } else if !rest.is_empty() {
            connection.partial.clear();
            connection.partial.extend_from_slice(rest);
        }
        asides
    }

    fn deal_with(&mut self, index: u32, asides: Asides) -> Result<(), LoadError> {
        if asides.upgraded {
            self.upgraded(index)?;
        }
        for heard in asides.heard {
            match heard {
                Heard::Reply => self.replied(index)?,
                Heard::Answer(bytes) => self.say(index, &bytes)?,
                Heard::Refused(reason) => self.refused(index, reason)?,
                Heard::Aside => {}
            }
        }
        if !asides.pongs.is_empty() {
            self.say(index, &asides.pongs)?;
        }
        match asides.over {
            Some(reason) => self.over(index, reason),
            None => Ok(()),
        }
    }

    /// Sends something on a connection, if it is still there.
    pub(super) fn say(&mut self, index: u32, bytes: &[u8]) -> Result<(), LoadError> {
        if let Some(connection) = self.table.get(index) {
            connection.feed(bytes);
        }
        self.flush(index)
    }

    /// Sends what the server takes.
    pub(super) fn flush(&mut self, index: u32) -> Result<(), LoadError> {
        let Some(connection) = self.table.get(index) else {
            return Ok(());
        };
        let had_to_wait = connection.waits;
        let flushed = connection.flush().and_then(|left| {
            connection.waits = left;
            if left == had_to_wait {
                return Ok(());
            }
            self.poll
                .change(&connection.stream, index, connection.life, left)
        });
        match flushed {
            Ok(()) => Ok(()),
            Err(error) => self.over(index, error.to_string()),
        }
    }

    /// A command was refused.
    fn refused(&mut self, index: u32, reason: String) -> Result<(), LoadError> {
        let live = self
            .table
            .get(index)
            .is_some_and(|it| it.phase == Phase::Live);
        match &mut self.run {
            Some(run) if live => {
                run.ran.refused += 1;
                run.reason(reason);
                Ok(())
            }
            _ => self.over(index, reason),
        }
    }

    /// A connection is over, one way or another.
    pub(super) fn over(&mut self, index: u32, reason: String) -> Result<(), LoadError> {
        let Some(gone) = self.table.remove(index) else {
            return Ok(());
        };
        match gone.purpose {
            Purpose::Knock => {
                if let Some(knocking) = &mut self.knocking {
                    knocking.failed(reason);
                }
            }
            Purpose::Visitor => {
                let Some(run) = &mut self.run else {
                    return Ok(());
                };
                run.visitors -= 1;
                if gone.phase == Phase::Leaving {
                    run.ran.came += 1;
                } else {
                    run.ran.failed += 1;
                    run.reason(reason);
                }
                run.close_account(gone.place.server, &gone.sequence, 0);
            }
            Purpose::Member if gone.phase == Phase::Live => match &mut self.run {
                Some(run) => {
                    let messages = run.order.schedule.messages;
                    run.close_account(gone.place.server, &gone.sequence, messages);
                    run.ran.ended += 1;
                    run.reason(reason);
                }
                None => self.ended.push(reason),
            },
            Purpose::Member => return Err(LoadError::Unexpected(reason)),
        }
        Ok(())
    }

    /// Tells those of a run that is reported who ended before it began.
    pub(super) fn tell_ended(&mut self, run: &mut run::Running) {
        for reason in self.ended.drain(..) {
            run.ran.ended += 1;
            run.reason(reason);
        }
    }
}

impl Asides {
    fn over(reason: impl Into<String>) -> Self {
        Self {
            over: Some(reason.into()),
            ..Self::default()
        }
    }
}
