//! Questions that nobody waits for any more.

use hubbub::config::Config;
use hubbub::peers::{PeerError, Peers};
use hubbub::protocol::connection::ConnectionQuery;
use hubbub::protocol::origin::Origin;
use hubbub::store::Store;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;

use crate::harness::{DEADLINE, postgres};

/// As when clients show tickets of a node that is frozen, and go: what they have caused ends with
/// them, or it would be bounded by nothing.
#[tokio::test]
async fn they_end_with_who_has_asked() {
    // Without a node, which would ask, too.
    let database = postgres::database().await;
    let frozen = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = frozen.local_addr().expect("an address").to_string();
    let sql = database.connect().await;
    let row = "INSERT INTO nodes (id, address, lease_until)
        VALUES ('frozen', $1, now() + interval '1 hour')";
    sql.execute(row, &[&address]).await.expect("a node");

    let settings = [
        ("HUBBUB__DATABASE__REQUIRE_FSYNC", "false"),
        ("HUBBUB__DATABASE__POOL_MAX", "10"),
        ("HUBBUB__PEERS__CALLS_MAX", "1"),
        ("HUBBUB__PEERS__CALL_TIMEOUT_MS", "60000"),
    ];
    let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let config = Config::from_sources(None, settings.into_iter()).expect("settings");
    let store = Store::connect(&config.database, &database.url).await;
    let own = Origin {
        node: "test".into(),
        incarnation: 1,
    };
    let peers = Peers::open(store.expect("a database"), &config.peers, own).await;
    let peers = peers.expect("a database");
    let others = peers.others().await;
    let peer = others.iter().find(|it| &*it.origin.node == "frozen");
    let peer = peer.expect("it is listed").clone();
    let query = ConnectionQuery {
        user_id: None,
        limit: 0,
    };
    for _ in 0..3 {
        let asking = {
            let (peers, peer) = (peers.clone(), peer.clone());
            tokio::spawn(async move { peers.ask(&peer, &query).await })
        };
        let (mut stream, _) = frozen.accept().await.expect("a connection");
        stream.peek(&mut [0]).await.expect("a question");
        let more = peers.ask(&peer, &query).await;
        assert!(matches!(more, Err(PeerError::Busy)), "{more:?}");
        asking.abort();
        let mut question = Vec::new();
        let read = stream.read_to_end(&mut question);
        let ended = tokio::time::timeout(DEADLINE, read).await;
        ended.expect("the connection ends").ok();
        assert!(question.starts_with(b"POST /peer/connections "));
    }
}
