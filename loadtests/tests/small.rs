//! The generator against a real node and against servers that lose and double, as small as it gets.
//! It is what people run: the binary, and the JSON that it prints.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

use serde_json::Value;

/// What a stand-in for a relay does to what it passes on.
#[derive(Clone, Copy)]
enum Fault {
    None,
    /// Its second member does not get message number 3.
    Lose,
    /// Its second member gets message number 3 twice.
    Double,
    /// Its second member gets message number 3 after number 4.
    Swap,
}

/// Runs a load, and gives what it printed.
fn measure(arguments: &[&str]) -> Value {
    printed_by(&[arguments, &["--cores", "together"]].concat())
}

/// Runs it with these arguments, and gives what it printed.
fn printed_by(arguments: &[&str]) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_hubbub-loadtests"))
        .args(arguments)
        .arg("--json")
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The node that `cargo test --workspace` has built beside the generator.
fn node() -> String {
    let node = Path::new(env!("CARGO_BIN_EXE_hubbub-loadtests")).with_file_name("hubbub");
    assert!(node.is_file(), "{} is missing: cargo build", node.display());
    node.to_str().unwrap().to_owned()
}

/// Measures a relay of this process.
fn measure_relay(fault: Fault) -> Value {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || relay(&listener, fault));
    let pid = std::process::id().to_string();
    let load = [
        "--rooms",
        "1",
        "--members",
        "3",
        "--rate",
        "20",
        "--seconds",
        "1",
    ];
    let mut arguments = vec![
        "fanout", "--server", "floor", "--at", &address, "--pid", &pid,
    ];
    arguments.extend(load);
    measure(&arguments)
}

/// A relay of one room, a thread for each member.
fn relay(listener: &TcpListener, fault: Fault) {
    let members: Arc<Mutex<Vec<TcpStream>>> = Arc::default();
    for stream in listener.incoming() {
        let members = members.clone();
        std::thread::spawn(move || serve(stream.unwrap(), &members, fault));
    }
}

fn serve(stream: TcpStream, members: &Mutex<Vec<TcpStream>>, fault: Fault) {
    let mut input = BufReader::new(stream.try_clone().unwrap());
    let mut line = String::new();
    while input.read_line(&mut line).unwrap() > 2 {
        line.clear();
    }
    let mut output = stream.try_clone().unwrap();
    output
        .write_all(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
              Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
        )
        .unwrap();
    members.lock().unwrap().push(stream);
    let mut count = 0;
    let mut kept = Vec::new();
    loop {
        // A body of 128 bytes, masked: two bytes of head, two of length, four of mask.
        let mut frame = [0; 136];
        if input.read_exact(&mut frame).is_err() {
            return;
        }
        let (head, payload) = frame.split_at(8);
        let unmasked = payload.iter().zip(head[4..].iter().cycle());
        let mut plain = vec![0x81, 126, 0, 128];
        plain.extend(unmasked.map(|(byte, mask)| byte ^ mask));
        for (n, member) in members.lock().unwrap().iter_mut().enumerate() {
            let bytes = match (fault, n, count) {
                (Fault::Lose | Fault::Swap, 1, 3) => Vec::new(),
                (Fault::Double, 1, 3) => [plain.clone(), plain.clone()].concat(),
                (Fault::Swap, 1, 4) => [plain.clone(), kept.clone()].concat(),
                _ => plain.clone(),
            };
            // Its client may have gone.
            let _ = member.write_all(&bytes);
        }
        kept = plain;
        count += 1;
    }
}

/// Every message came once, in its order, to whom it was for.
fn nothing_is_wrong(run: &Value) {
    for fault in [
        "lost",
        "doubled",
        "disordered",
        "strayed",
        "corrupt",
        "refused",
        "ended",
    ] {
        assert_eq!(run[fault], 0, "{fault}: {run}");
    }
}

#[test]
fn a_faultless_relay_is_found_faultless() {
    let run = measure_relay(Fault::None);
    // A second of warm-up and one that is measured, 20 messages each, to three members.
    assert_eq!(run["received"], 120, "{run}");
    for fault in [
        "lost",
        "doubled",
        "disordered",
        "strayed",
        "corrupt",
        "ended",
    ] {
        assert_eq!(run[fault], 0, "{fault}: {run}");
    }
    assert!(run["verified"].as_u64().unwrap() > 0);
}

#[test]
fn a_lost_delivery_is_found() {
    let run = measure_relay(Fault::Lose);
    assert_eq!(run["lost"], 1, "{run}");
    assert_eq!(run["received"], 119, "{run}");
}

#[test]
fn a_delivery_that_comes_twice_is_found() {
    let run = measure_relay(Fault::Double);
    assert_eq!(run["doubled"], 1, "{run}");
    assert_eq!(
        (&run["received"], &run["lost"]),
        (&120.into(), &0.into()),
        "{run}"
    );
}

#[test]
fn deliveries_in_the_wrong_order_are_found() {
    let run = measure_relay(Fault::Swap);
    assert_eq!(run["disordered"], 1, "{run}");
    assert_eq!(
        (&run["received"], &run["lost"]),
        (&120.into(), &0.into()),
        "{run}"
    );
}

#[test]
fn a_node_delivers_everything_once() {
    let node = node();
    for further in [
        &[][..],
        &["--durable"],
        &["--server", "hubbub-socketio"],
        &["--server", "hubbub-socketio", "--durable"],
        &["--server", "hubbub-socketio", "--durable", "--no-offsets"],
    ] {
        let mut arguments = vec!["fanout", "--node", &node, "--rooms", "2", "--members", "10"];
        arguments.extend(["--rate", "20", "--seconds", "1"]);
        arguments.extend(further);
        let run = measure(&arguments);
        assert_eq!(run["received"], 2 * 10 * 40, "{run}");
        nothing_is_wrong(&run);
    }
}

#[test]
fn abandoned_clients_are_noticed() {
    let node = node();
    let arguments = [
        "abandoned",
        "--node",
        &node,
        "--sessions",
        "50",
        "--people",
        "4",
        "--rooms",
        "2",
        "--heartbeat-ms",
        "3000",
        "3000",
    ];
    let abandoned = printed_by(&arguments);
    assert_eq!(abandoned["sessions"], 50);
    let ended = |field: &str| abandoned[field].as_f64().unwrap();
    assert!(
        ended("first_ended_s") <= ended("all_ended_s"),
        "{abandoned}"
    );
}

#[test]
fn two_nodes_that_share_a_redis_deliver_everything_once_on_both() {
    let node = node();
    for durable in [false, true] {
        let mut arguments = vec!["fanout", "--pair", "--node", &node, "--rooms", "2"];
        arguments.extend(["--members", "10", "--rate", "20", "--seconds", "1"]);
        if durable {
            arguments.push("--durable");
        }
        let run = measure(&arguments);
        assert_eq!(run["server"], "Hubbub ×2");
        // Of each room's ten members five are on each node.
        let received = |at: usize| &run["shares"][at]["received"];
        let each = 2 * 5 * 40;
        assert_eq!((received(0), received(1)), (&each.into(), &each.into()));
        nothing_is_wrong(&run);
    }
}

#[test]
fn a_pair_gets_over_what_happens_to_it() {
    let node = node();
    let mut arguments = vec!["cluster", "--node", &node, "--faults-only"];
    arguments.extend(["--kills", "1", "--revocations", "3"]);
    let report = measure(&arguments);
    let faults = &report["faults"];
    assert_eq!(report["missing"].as_array().unwrap().len(), 0, "{report}");
    assert_eq!(faults["revoked"]["ms"].as_array().unwrap().len(), 3);
    let redis = &faults["redis"];
    assert!(redis["stored"].as_u64().unwrap() > 0, "{redis}");
    for fault in ["lost", "doubled", "disordered"] {
        assert_eq!(redis[fault], 0, "{fault}: {redis}");
    }
    let vanished = &faults["vanished"];
    let rounds = vanished["gone"]["ms"].as_array().unwrap().len() as u64
        + vanished["gone"]["never"].as_u64().unwrap()
        + vanished["not_seen"].as_u64().unwrap();
    assert_eq!(rounds, 1, "{vanished}");
}

#[test]
fn a_rolling_restart_is_survived_by_all() {
    let node = node();
    let mut arguments = vec!["rolling", "--node", &node, "--nodes", "2", "--rooms", "2"];
    arguments.extend(["--connections", "10", "--drain-ms", "200"]);
    let report = printed_by(&arguments);
    let count = |name: &str| report[name].as_u64().unwrap();
    // Five listeners in each room, and whoever was on a node when it was stopped came back.
    assert_eq!(count("deliveries"), 5 * count("messages"), "{report}");
    assert!(count("reconnects") >= 10, "{report}");
    for fault in ["lost", "doubled", "disordered", "gaps"] {
        assert_eq!(report[fault], 0, "{fault}: {report}");
    }
}

#[test]
fn idle_connections_are_opened_and_joined() {
    let node = node();
    let arguments = [
        "idle",
        "--node",
        &node,
        "--connections",
        "200",
        "--rooms",
        "4",
    ];
    let idle = measure(&arguments);
    assert_eq!(idle["connections"], 200);
    assert!(idle["before_bytes"].as_u64().unwrap() > 1_000_000, "{idle}");
}

#[test]
fn reads_over_rest_are_answered_rightly_and_a_storm_asks_once() {
    let node = node();
    // Of the others those that have been built.
    let report = measure(&["rest", "--smoke", "--node", &node]);
    assert_eq!(report["failed"].as_array().unwrap().len(), 0, "{report}");
    let of_node = |rows: &str| -> Vec<Value> {
        let rows = report[rows].as_array().unwrap().iter();
        rows.filter(|row| row["server"] == "Hubbub")
            .cloned()
            .collect()
    };
    for storm in of_node("storms") {
        assert_eq!(storm["page_queries"], 1, "{storm}");
        assert_eq!(storm["access_queries"], 1, "{storm}");
    }
    assert_eq!(of_node("storms").len(), 2, "{report}");
    // Three cases as fast as it goes, then each at a fixed rate.
    assert_eq!((of_node("closed").len(), of_node("fixed").len()), (3, 3));
    for row in of_node("closed").iter().chain(&of_node("fixed")) {
        assert!(row["answered"].as_u64().unwrap() > 0, "{row}");
        assert!(row["verified"].as_u64().unwrap() > 0, "{row}");
    }
    let mix = &of_node("mixes")[0];
    let ratio = mix["counted_hits"].as_f64().unwrap();
    assert!((0.0..=1.0).contains(&ratio), "{mix}");
}
