//! Waiting for sockets, for a time, and for orders.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};

use crate::clock::NS_PER_S;

/// Events that are taken at once.
const EVENTS: usize = 512;

const ORDERS: u64 = u64::MAX;
const TIMER: u64 = u64::MAX - 1;

/// What there is to do.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ready {
    /// A connection, by its index and life; what it can do.
    Connection {
        index: u32,
        life: u32,
        reads: bool,
        writes: bool,
    },
    /// There are orders, or no more will come.
    Orders,
}

pub(crate) struct Poll {
    epoll: OwnedFd,
    timer: OwnedFd,
    events: Vec<Event>,
    armed_ns: u64,
}

impl Poll {
    /// Waits for orders on `orders` besides connections.
    pub(crate) fn new(orders: impl AsFd) -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        epoll::add(&epoll, orders, EventData::new_u64(ORDERS), EventFlags::IN)?;
        // By edge, so that a timer that went off need not be read.
        let once = EventFlags::IN | EventFlags::ET;
        epoll::add(&epoll, &timer, EventData::new_u64(TIMER), once)?;
        Ok(Self {
            epoll,
            timer,
            events: Vec::with_capacity(EVENTS),
            armed_ns: u64::MAX,
        })
    }

    pub(crate) fn add(
        &self,
        socket: impl AsFd,
        index: u32,
        life: u32,
        writes: bool,
    ) -> io::Result<()> {
        Ok(epoll::add(
            &self.epoll,
            socket,
            data(index, life),
            interest(writes),
        )?)
    }

    /// Says whether the connection waits to write.
    pub(crate) fn change(
        &self,
        socket: impl AsFd,
        index: u32,
        life: u32,
        writes: bool,
    ) -> io::Result<()> {
        Ok(epoll::modify(
            &self.epoll,
            socket,
            data(index, life),
            interest(writes),
        )?)
    }

    /// Wakes up at that time at the latest; never if it is the end of time.
    pub(crate) fn wake_at(&mut self, time_ns: u64) -> io::Result<()> {
        if time_ns == self.armed_ns {
            return Ok(());
        }
        self.armed_ns = time_ns;
        // All zeros would switch it off.
        let time_ns = if time_ns == u64::MAX {
            0
        } else {
            time_ns.max(1)
        };
        let seconds = |ns: u64| i64::try_from(ns).unwrap_or(i64::MAX);
        let value = Itimerspec {
            it_interval: Timespec {
                tv_sec: 0,
                tv_nsec: 0,
            },
            it_value: Timespec {
                tv_sec: seconds(time_ns / NS_PER_S),
                tv_nsec: seconds(time_ns % NS_PER_S),
            },
        };
        timerfd_settime(&self.timer, TimerfdTimerFlags::ABSTIME, &value)?;
        Ok(())
    }

    /// Waits, and gives what is ready.
    pub(crate) fn wait(&mut self, ready: &mut Vec<Ready>) -> io::Result<()> {
        self.events.clear();
        ready.clear();
        let waited = epoll::wait(
            &self.epoll,
            rustix::buffer::spare_capacity(&mut self.events),
            None,
        );
        match waited {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for event in &self.events {
            let (flags, token) = (event.flags, event.data.u64());
            match token {
                ORDERS => ready.push(Ready::Orders),
                // Whoever waits looks at the clock anyway.
                TIMER => self.armed_ns = 0,
                token => ready.push(Ready::Connection {
                    index: part(token),
                    life: part(token >> 32),
                    reads: flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR),
                    writes: flags.contains(EventFlags::OUT),
                }),
            }
        }
        Ok(())
    }
}

fn data(index: u32, life: u32) -> EventData {
    EventData::new_u64(u64::from(life) << 32 | u64::from(index))
}

fn part(token: u64) -> u32 {
    u32::try_from(token & u64::from(u32::MAX)).unwrap_or(u32::MAX)
}

fn interest(writes: bool) -> EventFlags {
    if writes {
        EventFlags::IN | EventFlags::OUT
    } else {
        EventFlags::IN
    }
}
