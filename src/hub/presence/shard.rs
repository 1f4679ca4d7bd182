//! The actor of a shard: it feeds the state with what happens here and on other nodes, tells the
//! rooms and the others, and asks whom it has not heard.

mod messages;

use std::time::{Duration, Instant};

use actix::prelude::*;

pub(crate) use self::messages::Present;
pub(super) use self::messages::{
    Announce, Answer, Compare, Hear, Move, Stand, Surround, TellAgain, Who,
};
use super::elsewhere::Asker;
use super::state::{Pulled, Rules, State, Wish};
use super::{PresenceSettings, Surroundings};
use crate::bus::envelope::Payload;
use crate::bus::presence::channel;
use crate::fault;
use crate::hub::bridge::BridgeHandle;
use crate::hub::encoded::{Ephemeral, SharedPush};
use crate::hub::metrics::{PRESENCE_HEARD, PRESENCE_SAID, PRESENCE_UNSEEN, PRESENT};
use crate::hub::registry::Registry;
use crate::hub::supervision::Guard;

/// A thread, or another node, that has not told whom it has after this is not waited for: what it
/// has comes as arrivals.
const ANNOUNCEMENTS: Duration = Duration::from_secs(1);

/// What a shard works with.
pub(super) struct ShardParts {
    pub(super) number: u8,
    pub(super) settings: PresenceSettings,
    pub(super) registry: Registry,
    pub(super) bridge: BridgeHandle,
    pub(super) asker: Asker,
    /// Greater than all versions of the shard's earlier actors.
    pub(super) first_version: u64,
    /// Threads that have yet to say whom they have.
    pub(super) awaited: Vec<usize>,
    /// It takes the place of one that panicked: rooms are told everybody once, those of other
    /// nodes, too.
    pub(super) is_recreated: bool,
    pub(super) surroundings: Surroundings,
    pub(super) guard: Guard,
}

/// The actor.
pub(super) struct Shard {
    number: u8,
    state: State,
    settings: PresenceSettings,
    registry: Registry,
    bridge: BridgeHandle,
    asker: Asker,
    /// Threads that have not said yet whom they have.
    awaited: Vec<usize>,
    /// Other nodes are waited for.
    awaits_nodes: bool,
    is_telling: bool,
    /// It was told that the people of some nodes are not seen.
    has_warned: bool,
    /// The next thing that is due, and when.
    due: Option<(Instant, SpawnHandle)>,
    /// Dropped with it.
    _guard: Guard,
}

impl Shard {
    pub(super) fn new(parts: ShardParts) -> Self {
        let rules = Rules::from(&parts.settings);
        let mut state = State::new(rules, parts.first_version, parts.surroundings.bus);
        state.meet(parts.surroundings.neighbours, Instant::now());
        Self {
            number: parts.number,
            awaits_nodes: parts.is_recreated && state.has_neighbours(),
            state,
            settings: parts.settings,
            registry: parts.registry,
            bridge: parts.bridge,
            asker: parts.asker,
            awaited: parts.awaited,
            is_telling: false,
            has_warned: false,
            due: None,
            _guard: parts.guard,
        }
    }

    /// Whether it is known who is here.
    fn is_known(&self) -> bool {
        self.awaited.is_empty() && !self.awaits_nodes
    }

    /// After everything that may have changed something.
    fn settle(&mut self, ctx: &mut Context<Self>) {
        let now = Instant::now();
        self.state.tick(now);
        for wish in self.state.wishes(now) {
            self.ask(wish, ctx);
        }
        self.note_unseen();
        if self.awaits_nodes && self.state.is_synced() {
            self.awaits_nodes = false;
        }
        let has_news = self.state.has_news() || self.state.has_diffs();
        if self.is_known() && has_news && !self.is_telling {
            self.is_telling = true;
            ctx.run_later(self.settings.coalesce, |this, ctx| {
                this.is_telling = false;
                this.say();
                this.tell();
                // Rooms that are counted are told later.
                this.settle(ctx);
            });
        }
        self.plan(now, ctx);
    }

    /// All shards know the same nodes: one speaks for all.
    fn note_unseen(&mut self) {
        if self.number != 0 {
            return;
        }
        let unseen = self.state.unseen();
        PRESENCE_UNSEEN.set(i64::try_from(unseen).unwrap_or(i64::MAX));
        if unseen > 0 && !self.has_warned {
            tracing::warn!(
                unseen,
                "more nodes live than presence can tell apart (63 others): the people of some are not \
                 seen here, and presence is stale"
            );
        }
        self.has_warned = unseen > 0;
    }

    fn plan(&mut self, now: Instant, ctx: &mut Context<Self>) {
        let Some(next) = self.state.next_tick() else {
            return;
        };
        if self.due.is_some_and(|(due, _)| due <= next) {
            return;
        }
        if let Some((_, handle)) = self.due.take() {
            ctx.cancel_future(handle);
        }
        let handle = ctx.run_later(next.saturating_duration_since(now), |this, ctx| {
            this.due = None;
            this.settle(ctx);
        });
        self.due = Some((next, handle));
    }

    fn ask(&self, wish: Wish, ctx: &mut Context<Self>) {
        let (asker, number) = (self.asker.clone(), self.number);
        let asking = async move {
            let pulled = asker.pull(number, &wish).await;
            (wish, pulled)
        };
        let asking = asking.into_actor(self);
        ctx.spawn(asking.map(|(wish, pulled), this, ctx| this.pulled(&wish, pulled, ctx)));
    }

    fn pulled(&mut self, wish: &Wish, pulled: Option<Pulled>, ctx: &mut Context<Self>) {
        self.state.pulled(wish, pulled, Instant::now());
        self.settle(ctx);
    }

    /// Tells other nodes what has changed.
    fn say(&mut self) {
        for (version, changes) in self.state.say() {
            PRESENCE_SAID.with_label_values(&["diff"]).inc();
            if fault::asked!("hub.presence.lose") {
                continue;
            }
            let diff = Payload::PresenceDiff { version, changes };
            self.bridge.presence(channel(self.number), diff);
        }
    }

    /// Tells the rooms here what has changed.
    fn tell(&mut self) {
        let (diffs, is_stale) = self.state.take_diffs(Instant::now());
        for diff in diffs {
            // A room without an actor has nobody left to tell, or is being recreated: then it
            // asks to be told again.
            let Some(room) = self.registry.find(diff.room_id) else {
                continue;
            };
            let push = SharedPush::new(Ephemeral::Presence {
                room_id: diff.room_id,
                joins: diff.joins,
                leaves: diff.leaves,
                count: diff.count,
                reset: diff.is_whole,
                only_count: diff.is_counted,
                stale: is_stale,
            });
            room.broadcast(push, None);
        }
    }

    /// Tells other nodes where this one stands, again and again.
    fn stand_soon(&self, ctx: &mut Context<Self>) {
        let every = self.settings.digest_every;
        // Not all shards of all nodes at once.
        let pause = every.mul_f64(0.8 + 0.4 * rand::random::<f64>());
        ctx.run_later(pause, |this, ctx| {
            let people = i64::try_from(this.state.len()).unwrap_or(i64::MAX);
            let shard = this.number.to_string();
            PRESENT.with_label_values(&[&shard]).set(people);
            let is_able = this.awaited.is_empty() && !this.state.is_frozen();
            let is_silenced = fault::asked!("hub.presence.stand");
            if is_able && this.state.has_neighbours() && !is_silenced {
                this.say();
                PRESENCE_SAID.with_label_values(&["digest"]).inc();
                let digest = Payload::PresenceDigest(this.state.digest());
                this.bridge.presence(channel(this.number), digest);
            }
            this.stand_soon(ctx);
        });
    }
}

impl Actor for Shard {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        if !self.is_known() {
            ctx.run_later(ANNOUNCEMENTS, |this, ctx| {
                this.awaited.clear();
                this.awaits_nodes = false;
                this.settle(ctx);
            });
        }
        self.bridge.subscribe(channel(self.number));
        self.stand_soon(ctx);
        self.settle(ctx);
    }
}

fn count_heard(kind: &str, fate: super::state::Fate) {
    PRESENCE_HEARD.with_label_values(&[kind, fate.name()]).inc();
}
