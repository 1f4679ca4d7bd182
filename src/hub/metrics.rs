//! What the hub counts.

mod connections;
mod presence;

use std::sync::LazyLock;

use prometheus::{Histogram, IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

pub(crate) use self::connections::{
    CONNECTIONS, SOCKETIO_ASKED, SOCKETIO_ENDED, SOCKETIO_RECOVERIES, SOCKETIO_REFUSED,
    SOCKETIO_SESSIONS, STREAMS,
};
pub(crate) use self::presence::{
    ONLINE_FAILED, ONLINE_WRITTEN, PRESENCE_HEARD, PRESENCE_PULLS, PRESENCE_SAID, PRESENCE_UNSEEN,
    PRESENT,
};
use crate::metric::{counter, counters, gauge, gauges, histogram};

/// Connections closed by the hub, by reason.
pub(crate) static DISCONNECTS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    counters(
        "websocket_disconnects_total",
        "Connections that the hub closed, by reason",
        &["reason"],
    )
});

/// Commands, by name and result.
pub(crate) static COMMANDS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    counters(
        "hub_commands_total",
        "Commands of clients, by name",
        &["command"],
    )
});

/// From the publish's arrival at this node to its events' last write, milliseconds; once for each
/// event and worker thread.
pub(crate) static DELIVERY_MS: LazyLock<Histogram> = LazyLock::new(|| {
    histogram(
        "message_delivery_time_ms",
        "From a publish's arrival to the write to its receivers, milliseconds",
        &[
            0.5, 1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0,
        ],
    )
});

/// The last entry of the control log that was applied.
pub(crate) static CONTROL_POSITION: LazyLock<IntGauge> = LazyLock::new(|| {
    gauge(
        "hub_control_position",
        "The last entry of the control log that this node has applied",
    )
});

/// Entries of the control log, by kind.
pub(crate) static CONTROL_ENTRIES: LazyLock<IntCounterVec> = LazyLock::new(|| {
    counters(
        "hub_control_entries_total",
        "Entries of the control log that this node has applied, by kind",
        &["kind"],
    )
});

/// How often entries of the control log were missing.
pub(crate) static CONTROL_LOST: LazyLock<IntCounter> = LazyLock::new(|| {
    counter(
        "hub_control_lost_total",
        "How often entries of the control log were missing and everybody had to reconnect",
    )
});

/// Frames handed to connections.
pub(crate) static DELIVERIES: LazyLock<IntCounter> = LazyLock::new(|| {
    counter(
        "hub_deliveries_total",
        "Pushes handed to a connection's outbox",
    )
});

/// Members who lacked events that the others of their room had, because their outboxes were full.
pub(crate) static STRAGGLERS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    counters(
        "hub_stragglers_total",
        "Members for whom a room's events did not fit, and whether they caught up or were closed",
        &["fate"],
    )
});

/// Writes to sockets.
pub(crate) static SOCKET_WRITES: LazyLock<IntCounter> = LazyLock::new(|| {
    counter(
        "hub_socket_writes_total",
        "Writes to WebSocket connections, each of all frames that waited",
    )
});

/// Frames that were compressed, by outcome; each counts once, however many get it.
pub(crate) static DEFLATED: LazyLock<IntCounterVec> = LazyLock::new(|| {
    counters(
        "websocket_deflated_frames_total",
        "Frames that were compressed, by whether they became shorter; each once, whoever gets it",
        &["outcome"],
    )
});

/// Bytes before compression.
pub(crate) static DEFLATE_BYTES: LazyLock<IntCounter> = LazyLock::new(|| {
    counter(
        "websocket_deflate_bytes_total",
        "Bytes of frames before they were compressed",
    )
});

/// Bytes after compression.
pub(crate) static DEFLATED_BYTES: LazyLock<IntCounter> = LazyLock::new(|| {
    counter(
        "websocket_deflated_bytes_total",
        "Bytes of frames after they were compressed",
    )
});

/// Compressed messages of clients, by outcome.
pub(crate) static INFLATED: LazyLock<IntCounterVec> = LazyLock::new(|| {
    counters(
        "websocket_inflated_messages_total",
        "Compressed messages of clients, by outcome",
        &["outcome"],
    )
});

/// Bytes of inflated messages.
pub(crate) static INFLATED_BYTES: LazyLock<IntCounter> = LazyLock::new(|| {
    counter(
        "websocket_inflated_bytes_total",
        "Bytes of clients' messages after they were inflated",
    )
});

/// Pings that were answered with a later one.
pub(crate) static PONGS_SAVED: LazyLock<IntCounter> = LazyLock::new(|| {
    counter(
        "websocket_pongs_saved_total",
        "Pings whose answer was replaced by the answer to a later one, as the client read neither",
    )
});

/// Commands that came beside one that takes its time, beyond what is held of them.
pub(crate) static HELD_FULL: LazyLock<IntCounter> = LazyLock::new(|| {
    counter(
        "websocket_held_full_total",
        "How often a connection was read no further because enough of its commands waited for one \
         before them",
    )
});

/// Turns that ended before their connection had no more to say.
pub(crate) static TURNS_OVER: LazyLock<IntCounter> = LazyLock::new(|| {
    counter(
        "websocket_turns_over_total",
        "How often a connection had said so much in one go that others had their turn first",
    )
});

/// Ephemeral pushes that were dropped, by reason.
pub(crate) static EPHEMERAL_DROPPED: LazyLock<IntCounterVec> = LazyLock::new(|| {
    counters(
        "hub_ephemeral_dropped_total",
        "Ephemeral pushes dropped, by the queue that was full",
        &["queue"],
    )
});

/// Room actors on this node.
pub(crate) static ROOMS: LazyLock<IntGauge> =
    LazyLock::new(|| gauge("hub_active_rooms", "Rooms with an actor on this node"));

/// Gaps that rooms filled from Postgres.
pub(crate) static GAPS: LazyLock<IntCounter> = LazyLock::new(|| {
    counter(
        "hub_room_gaps_total",
        "Holes in a room's events that were filled from Postgres",
    )
});

/// Actors that panicked, by kind.
pub(crate) static ACTORS_DOWN: LazyLock<IntCounterVec> = LazyLock::new(|| {
    counters(
        "hub_actors_down_total",
        "Actors that panicked, by kind",
        &["kind"],
    )
});

/// Restarts that had to wait, by kind.
pub(crate) static RESTARTS_DELAYED: LazyLock<IntCounterVec> = LazyLock::new(|| {
    counters(
        "hub_restarts_delayed_total",
        "Restarts of actors that had to wait, because there had been others, by kind",
        &["kind"],
    )
});

/// Rooms that the comparison of heads found behind.
pub(crate) static BEHIND: LazyLock<IntCounter> = LazyLock::new(|| {
    counter(
        "hub_anti_entropy_behind_total",
        "Rooms that were behind their logs until the heads were compared",
    )
});

/// How long a comparison of heads takes.
pub(crate) static ANTI_ENTROPY_SECONDS: LazyLock<Histogram> = LazyLock::new(|| {
    histogram(
        "hub_anti_entropy_seconds",
        "Comparing the heads of all active rooms",
        &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0],
    )
});

/// Rooms whose logs had lost what was delivered.
pub(crate) static HISTORY_LOST: LazyLock<IntCounter> = LazyLock::new(|| {
    counter(
        "hub_histories_lost_total",
        "Rooms whose logs ended before what had been delivered of them",
    )
});

/// Events between a room and a thread that did not come in their turn.
pub(crate) static OUT_OF_TURN: LazyLock<IntCounterVec> = LazyLock::new(|| {
    counters(
        "hub_fanout_out_of_turn_total",
        "Events that did not follow the last one that a thread had of their room, by kind: known (again), hole (others are missing), epoch (of another log), full (too much of the room had yet to be written: it is asked for later), late (a join was put off), behind (the last ones never came)",
        &["kind"],
    )
});

/// Messages that did not fit into an actor's or a worker's queue, by queue.
pub(crate) static OVERFLOWS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    counters(
        "hub_queue_overflows_total",
        "Messages that found a queue full, by queue",
        &["queue"],
    )
});

/// Batches of what was touched in rooms, `told` to the other nodes and `heard` of them.
pub(crate) static TOUCHED_BATCHES: LazyLock<IntCounterVec> = LazyLock::new(|| {
    counters(
        "hub_touched_batches_total",
        "Batches of what was touched in rooms",
        &["fate"],
    )
});

/// Times when what had changed may not have been known, by `loss`: all copies count as old then.
pub(crate) static TOUCHED_LOST: LazyLock<IntCounterVec> = LazyLock::new(|| {
    counters(
        "hub_touched_lost_total",
        "Times when what had changed may not have been known",
        &["loss"],
    )
});

/// Entries handed to the journal and not settled.
pub(crate) static JOURNAL_QUEUE: LazyLock<IntGauge> = LazyLock::new(|| {
    gauge(
        "journal_queue_events",
        "Entries handed to the journal and not settled",
    )
});

/// Entries for each batch.
pub(crate) static JOURNAL_BATCH_EVENTS: LazyLock<Histogram> = LazyLock::new(|| {
    histogram(
        "journal_batch_events",
        "Entries in a batch",
        &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0],
    )
});

/// How long a batch takes.
pub(crate) static JOURNAL_FLIGHT_SECONDS: LazyLock<Histogram> = LazyLock::new(|| {
    histogram(
        "journal_flight_seconds",
        "From sending a batch to its commit",
        &[
            0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0,
        ],
    )
});

/// What became of the journal's entries.
pub(crate) static JOURNAL_OUTCOMES: LazyLock<IntCounterVec> = LazyLock::new(|| {
    counters(
        "journal_entries_total",
        "Entries settled by the journal, by outcome",
        &["outcome"],
    )
});

/// Pages of the log asked for by replays: read, or shared with another that waits.
pub(crate) static REPLAY_PAGES: LazyLock<IntCounterVec> = LazyLock::new(|| {
    counters(
        "hub_replay_pages_total",
        "Pages of the log for replays, read or shared with another that was waiting",
        &["how"],
    )
});

/// Pages being read.
pub(crate) static REPLAY_PAGES_READING: LazyLock<IntGauge> = LazyLock::new(|| {
    gauge(
        "hub_replay_pages_reading",
        "Pages of the log that are being read for replays",
    )
});

/// What waits for its turn at the pool.
pub(crate) static REPLAY_TURNS_WAITING: LazyLock<IntGauge> = LazyLock::new(|| {
    gauge(
        "hub_replay_turns_waiting",
        "Pages of the log and checks of replays that wait for their turn at the pool",
    )
});

/// Read markers that members set, by what became of them.
pub(crate) static READ_MARKS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    counters(
        "hub_read_marks_total",
        "Read markers set: stored, unchanged, refused, failed, overloaded (too many waited)",
        &["outcome"],
    )
});

/// Read markers that wait to be stored.
pub(crate) static READ_MARKS_WAITING: LazyLock<IntGauge> = LazyLock::new(|| {
    gauge(
        "hub_read_marks_waiting",
        "Read markers that wait to be stored",
    )
});

/// Read markers for each statement.
pub(crate) static READ_MARKS_BATCH: LazyLock<Histogram> = LazyLock::new(|| {
    histogram(
        "hub_read_marks_batch",
        "Read markers in one statement",
        &[1.0, 4.0, 16.0, 64.0, 256.0, 1000.0],
    )
});

/// The other nodes, by what is thought of them.
pub(crate) static PEERS: LazyLock<IntGaugeVec> = LazyLock::new(|| {
    gauges(
        "hub_peers",
        "Other nodes: living, unheard (an outage of Postgres has just ended) or gone within the hour",
        &["state"],
    )
});

/// How far this machine's clock is off Postgres's.
pub(crate) static CLOCK_OFF: LazyLock<IntGauge> = LazyLock::new(|| {
    gauge(
        "hub_clock_off_seconds",
        "How far this machine's clock is ahead of Postgres's, or behind it",
    )
});

/// What happened among the other nodes.
pub(crate) static PEER_EVENTS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    counters(
        "hub_peer_events_total",
        "Other nodes that joined, left in order or died",
        &["event"],
    )
});

/// Renewals of the node's lease that failed.
pub(crate) static RENEWALS_FAILED: LazyLock<IntCounter> = LazyLock::new(|| {
    counter(
        "hub_lease_renewals_failed_total",
        "Renewals of the node's lease that failed, with the look at the others' that goes with it",
    )
});

/// Attempts to make the LISTEN connection again.
pub(crate) static LISTEN_CONNECTS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    counters(
        "hub_listen_connects_total",
        "Attempts to connect again to listen to Postgres, by outcome (ok, failed)",
        &["outcome"],
    )
});

/// Whether heads are told by NOTIFY.
pub(crate) static NOTICES_WANTED: LazyLock<IntGauge> = LazyLock::new(|| {
    gauge(
        "hub_head_notices_wanted",
        "1 while this node tells the others of new events by way of Postgres",
    )
});

/// Notices of heads.
pub(crate) static HEAD_NOTICES: LazyLock<IntCounterVec> = LazyLock::new(|| {
    counters(
        "hub_head_notices_total",
        "Notices of rooms' heads by NOTIFY: told, lost on their way out, heard, bad (unreadable)",
        &["fate"],
    )
});

/// Reads of logs for such notices.
pub(crate) static HINTED_READS: LazyLock<IntCounter> = LazyLock::new(|| {
    counter(
        "hub_room_hinted_reads_total",
        "Reads of a room's log because another node told that there is more",
    )
});
