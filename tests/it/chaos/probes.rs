//! Sockets beside the clients, by which a node is asked who is in a room that no client on it can ask
//! about: none of them is there, or all have event streams.
//!
//! Each is one more device of a user who is in the room, so it changes nothing of who is there.

use std::collections::BTreeMap;

use serde_json::json;

use super::cluster::Cluster;
use super::history::Recorder;
use super::verdict::presence::Unheard;
use crate::harness::rest::User;
use crate::harness::socket::Socket;

/// By node and room.
#[derive(Default)]
pub(super) struct Probes(BTreeMap<(usize, String), Socket>);

impl Probes {
    /// Asks each once more. One that has ended is forgotten.
    pub(super) async fn ask(&mut self, recorder: &Recorder, cluster: &Cluster) {
        let mut asked = BTreeMap::new();
        for ((node, room), mut socket) in std::mem::take(&mut self.0) {
            if cluster.address(node).is_some() && who(&mut socket, recorder, node, &room).await {
                asked.insert((node, room), socket);
            }
        }
        self.0 = asked;
    }

    /// Asks a node that nobody has asked. If it cannot be asked now it is another time.
    pub(super) async fn add(
        &mut self,
        recorder: &Recorder,
        cluster: &Cluster,
        unheard: Unheard,
        user: &User,
    ) {
        let Unheard { node, room, .. } = unheard;
        let Some(address) = cluster.address(node) else {
            return;
        };
        let Ok(mut socket) = Socket::try_connect_to(&address, user).await else {
            return;
        };
        let joined = socket.try_request("join", json!({ "room": room })).await;
        if joined.is_ok_and(|it| it["ok"].is_object())
            && who(&mut socket, recorder, node, &room).await
        {
            self.0.insert((node, room), socket);
        }
    }
}

/// Asks and writes down the answer. False if the connection has ended.
async fn who(socket: &mut Socket, recorder: &Recorder, node: usize, room: &str) -> bool {
    let told = socket.try_request("presence", json!({ "room": room }));
    let Ok(reply) = told.await else {
        return false;
    };
    if let Some(answer) = reply.get("ok").cloned() {
        recorder.told(node, room, answer);
    }
    true
}
