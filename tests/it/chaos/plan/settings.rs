//! How the nodes of a run are set.

use rand::rngs::StdRng;

use super::{BusPlan, pick};

/// Small limits and short waits, so that they are met, some at random.
pub(super) fn drawn(rng: &mut StdRng, bus: BusPlan) -> Vec<(&'static str, u64)> {
    vec![
        // Small, so that positions are soon out of memory, and pages many.
        (
            "HUBBUB__HUB__ROOM_MEMORY_EVENTS",
            pick(rng, &[1, 4, 32, 1024]),
        ),
        (
            "HUBBUB__HUB__REPLAY_PAGE_EVENTS",
            pick(rng, &[1, 3, 20, 500]),
        ),
        ("HUBBUB__HUB__ROOM_IDLE_S", 1),
        ("HUBBUB__HUB__ROOM_MAILBOX", pick(rng, &[2, 1024])),
        ("HUBBUB__HUB__FANOUT_QUEUE", pick(rng, &[8, 65_536])),
        (
            "HUBBUB__JOURNAL__BATCH_MAX_EVENTS",
            pick(rng, &[2, 16, 256]),
        ),
        (
            "HUBBUB__HUB__ANTI_ENTROPY_MS",
            match bus {
                // Rooms hear of what other nodes commit when heads are compared.
                BusPlan::None => pick(rng, &[100, 300]),
                _ => pick(rng, &[100, 2000]),
            },
        ),
        ("HUBBUB__NODE__LEASE_MS", pick(rng, &[1000, 10_000])),
        ("HUBBUB__NODE__REPORT_MS", 200),
        (
            "HUBBUB__DATABASE__SUSPECT_AFTER_MS",
            pick(rng, &[200, 1000]),
        ),
        ("HUBBUB__REDIS__CONNECT_TIMEOUT_MS", 500),
        ("HUBBUB__REDIS__RESPONSE_TIMEOUT_MS", 300),
        ("HUBBUB__REDIS__PING_INTERVAL_MS", 200),
        ("HUBBUB__REDIS__RECONNECT_MAX_MS", 200),
        ("HUBBUB__REDIS__TOPOLOGY_INTERVAL_MS", 1000),
        ("HUBBUB__HUB__PRESENCE_COALESCE_MS", pick(rng, &[0, 100])),
        ("HUBBUB__HUB__PRESENCE_GRACE_MS", pick(rng, &[0, 300, 2000])),
        ("HUBBUB__HUB__PRESENCE_DIGEST_MS", pick(rng, &[200, 1000])),
        (
            "HUBBUB__HUB__PRESENCE_LIST_MAX",
            pick(rng, &[2, 1000, 1000]),
        ),
        ("HUBBUB__HUB__PRESENCE_COUNT_MS", 100),
        ("HUBBUB__JOURNAL__STALLED_AFTER_MS", 150),
        ("HUBBUB__JOURNAL__FLIGHT_TIMEOUT_MS", 600),
        ("HUBBUB__JOURNAL__RECONNECT_MAX_MS", 100),
        ("HUBBUB__HTTP__DRAIN_MS", 200),
        ("HUBBUB__HTTP__SHUTDOWN_GRACE_MS", 10_000),
        ("HUBBUB__WEBSOCKET__CLOSE_TIMEOUT_MS", 300),
        ("HUBBUB__WEBSOCKET__COMMAND_TIMEOUT_MS", 2000),
        (
            "HUBBUB__WEBSOCKET__OUTBOX_MAX_BYTES",
            pick(rng, &[4096, 1_048_576]),
        ),
        ("HUBBUB__WEBSOCKET__EPHEMERAL_MAX_BYTES", 2048),
        (
            "HUBBUB__WEBSOCKET__DEFLATE_THRESHOLD_BYTES",
            pick(rng, &[0, 200]),
        ),
        ("HUBBUB__WEBSOCKET__SEND_BUFFER_BYTES", 4096),
        ("HUBBUB__WEBSOCKET__MAX_MESSAGE_BYTES", 4096),
        ("HUBBUB__WEBSOCKET__MAX_INFLIGHT", pick(rng, &[2, 256])),
        ("HUBBUB__LIMITS__MESSAGE_BYTES", 2048),
    ]
}
