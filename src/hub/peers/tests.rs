use super::*;

const S: i64 = 1_000_000;
const LEASE: Duration = Duration::from_secs(10);

/// Some moment: nothing may depend on which.
const START: i64 = 1_700_000_000 * S;

fn row(id: &str, incarnation: u64, lease_until_us: i64) -> NodeRow {
    NodeRow {
        id: id.to_owned(),
        incarnation,
        address: format!("{id}:1"),
        state: NodeState::Serving,
        bus_state: "redis".to_owned(),
        lease_ms: 10_000,
        lease_until_us,
    }
}

fn life(node: &str, incarnation: u64) -> PeerLife {
    PeerLife {
        node: node.into(),
        incarnation,
    }
}

fn joined(node: &str, incarnation: u64) -> PeerEvent {
    PeerEvent::Joined(life(node, incarnation))
}

fn died(node: &str, incarnation: u64) -> PeerEvent {
    PeerEvent::Died(life(node, incarnation))
}

/// Looks at `now` with rows whose leases end then.
fn look(peers: &mut Peers, now_us: i64, rows: &[(&str, u64, i64)]) -> Vec<PeerEvent> {
    let rows = rows
        .iter()
        .map(|&(id, incarnation, until)| row(id, incarnation, until));
    peers.read(NodeRows {
        now_us,
        rows: rows.collect(),
    })
}

fn names(peers: &Peers) -> Vec<Box<str>> {
    let living = peers.living().into_iter();
    living.map(|peer| peer.life.node).collect()
}

/// A node that has looked every two seconds for a while, with `b` beside it, which renews.
fn after_a_while() -> (Peers, i64) {
    let mut peers = Peers::new("a", LEASE);
    let mut now = START;
    let events = look(&mut peers, now, &[("a", 1, now), ("b", 1, now + 10 * S)]);
    assert_eq!(events, [joined("b", 1)]);
    for _ in 0..10 {
        now += 2 * S;
        assert_eq!(look(&mut peers, now, &[("b", 1, now + 10 * S)]), []);
    }
    (peers, now)
}

#[test]
fn a_node_that_renews_no_more_dies_with_its_lease_and_not_before() {
    let (mut peers, start) = after_a_while();
    let until = start + 10 * S;
    for n in 1..=4 {
        assert_eq!(look(&mut peers, start + n * 2 * S, &[("b", 1, until)]), []);
    }
    assert_eq!(peers.next_expiry(), Some(Duration::from_secs(2)));
    assert_eq!(look(&mut peers, until - 1, &[("b", 1, until)]), []);
    assert_eq!(names(&peers), [Box::<str>::from("b")]);
    assert_eq!(look(&mut peers, until, &[("b", 1, until)]), [died("b", 1)]);
    assert!(names(&peers).is_empty());
    assert_eq!(look(&mut peers, until + S, &[("b", 1, until)]), [], "once");
    let again = until + 2 * S;
    let events = look(&mut peers, again, &[("b", 1, again + 10 * S)]);
    assert_eq!(events, [joined("b", 1)], "it was only stuck");
}

#[test]
fn after_an_outage_a_full_lease_passes_first() {
    for is_noticed in [true, false] {
        let (mut peers, before) = after_a_while();
        let (until, back) = (before + 10 * S, before + 60 * S);
        if is_noticed {
            peers.failed();
        }
        let stale = [("b", 1, until), ("c", 4, until)];
        assert_eq!(look(&mut peers, back, &stale), []);
        assert!(peers.is_after_outage());
        assert_eq!(
            names(&peers),
            [Box::<str>::from("b")],
            "c is not known to live"
        );
        assert_eq!(peers.counts().unheard, 1);
        assert!(peers.need_notices(BusState::Local), "but it may");
        for n in 1..5 {
            assert_eq!(look(&mut peers, back + n * 2 * S, &stale), []);
        }
        assert!(!peers.is_after_outage());
        let events = look(&mut peers, back + 10 * S, &stale);
        assert_eq!(events, [died("b", 1)], "c was never seen living");
        assert_eq!(peers.counts().gone, 2);
        assert!(!peers.need_notices(BusState::Local), "alone");
    }
}

#[test]
fn one_failed_look_is_an_outage_and_a_late_one_is_not() {
    let (mut peers, before) = after_a_while();
    let until = before + 10 * S;
    look(&mut peers, before + 5 * S, &[("b", 1, until)]);
    assert!(!peers.is_after_outage());
    peers.failed();
    look(&mut peers, before + 9 * S, &[("b", 1, until)]);
    assert!(peers.is_after_outage());
    assert_eq!(look(&mut peers, before + 13 * S, &[("b", 1, until)]), []);
    assert_eq!(look(&mut peers, before + 18 * S, &[("b", 1, until)]), []);
    let events = look(&mut peers, before + 19 * S, &[("b", 1, until)]);
    assert_eq!(events, [died("b", 1)]);
}

#[test]
fn a_clock_that_jumps_kills_nobody_and_keeps_nobody_alive() {
    let hour = 3600 * S;
    for jump in [hour, -hour] {
        let (mut peers, before) = after_a_while();
        let until = before + 10 * S;
        let mut now = before + 2 * S + jump;
        assert_eq!(look(&mut peers, now, &[("b", 1, until)]), []);
        // It renews under the new clock, and is killed.
        now += 2 * S;
        let until = now + 10 * S;
        for _ in 0..5 {
            assert_eq!(look(&mut peers, now, &[("b", 1, until)]), [], "{jump}");
            now += 2 * S;
        }
        assert_eq!(look(&mut peers, now, &[("b", 1, until)]), [died("b", 1)]);
        // It never renews after the jump.
        let (mut peers, before) = after_a_while();
        let (until, back) = (before + 10 * S, before + 2 * S + jump);
        for n in 0..5 {
            let now = back + 2 * n * S;
            assert_eq!(look(&mut peers, now, &[("b", 1, until)]), [], "{jump}");
        }
        let events = look(&mut peers, back + 10 * S, &[("b", 1, until)]);
        assert_eq!(events, [died("b", 1)], "{jump}");
    }
}

#[test]
fn a_restarted_node_is_another_life_at_once() {
    let (mut peers, mut now) = after_a_while();
    now += 2 * S;
    let events = look(&mut peers, now, &[("b", 2, now + 10 * S)]);
    assert_eq!(events, [died("b", 1), joined("b", 2)]);
}

#[test]
fn a_node_that_has_stopped_has_left() {
    let (mut peers, now) = after_a_while();
    let mut stopped = row("b", 1, now + S);
    stopped.state = NodeState::Stopped;
    let rows = NodeRows {
        now_us: now + S,
        rows: vec![stopped],
    };
    let events = peers.read(rows.clone());
    assert_eq!(events, [PeerEvent::Left(life("b", 1))]);
    assert_eq!(peers.read(rows), []);
    assert!(!peers.need_notices(BusState::Local));
}

#[test]
fn a_row_that_is_gone_dies_with_its_lease() {
    let (mut peers, now) = after_a_while();
    for n in 1..5 {
        assert_eq!(look(&mut peers, now + 2 * n * S, &[]), []);
    }
    assert_eq!(look(&mut peers, now + 10 * S, &[]), [died("b", 1)]);
}

#[test]
fn postgres_is_the_way_while_not_everybody_has_redis() {
    let (mut peers, now) = after_a_while();
    assert!(!peers.need_notices(BusState::Redis), "all have it");
    assert!(peers.need_notices(BusState::Fallback), "this one has not");
    for (state, needed) in [
        ("fallback", true),
        ("local", true),
        ("redis", false),
        ("new", true),
    ] {
        let mut other = row("b", 1, now + 10 * S);
        other.bus_state = state.to_owned();
        let rows = NodeRows {
            now_us: now + S,
            rows: vec![other],
        };
        assert_eq!(peers.read(rows), []);
        assert_eq!(peers.need_notices(BusState::Redis), needed, "{state}");
    }
    let alone = Peers::new("a", LEASE);
    assert!(!alone.need_notices(BusState::Local));
}
