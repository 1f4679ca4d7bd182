//! The requests of a session that wait for their answer.

use std::task::Context;

use bytes::Bytes;
use tokio::sync::oneshot;

use crate::hub::engineio::{Answer, Payload, Refused};
use crate::protocol::engineio::Revision;
use crate::protocol::engineio::payload::{self, Form, has_pairs};
use crate::protocol::engineio::session::{Out, Outgoing, PeerId};
use crate::protocol::websocket::sent::Sent;

/// Frames that waited for a poll, one after the other.
#[derive(Debug, Clone)]
pub(super) struct Taken(pub(super) Bytes);

impl Outgoing for Taken {
    fn size_bytes(&self) -> usize {
        self.0.len()
    }
}

/// Those of one session.
#[derive(Debug, Default)]
pub(super) struct Requests {
    polls: Vec<Poll>,
    posts: Vec<Post>,
    /// That of the last poll which had one.
    stamp: Option<u64>,
}

#[derive(Debug)]
struct Poll {
    id: PeerId,
    answer: oneshot::Sender<Answer<Payload>>,
    takes_bytes: bool,
}

#[derive(Debug)]
struct Post {
    id: PeerId,
    answer: oneshot::Sender<Answer<()>>,
    is_bytes: bool,
}

/// A request whose client has gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gone {
    Poll(PeerId),
    Post(PeerId),
}

impl Requests {
    /// Whether a poll with this stamp is the last one again: whoever was to bring its answer did not, and
    /// has sent it by another way.
    pub(super) fn repeats(&mut self, stamp: Option<u64>) -> bool {
        stamp.is_some() && std::mem::replace(&mut self.stamp, stamp) == stamp
    }

    pub(super) fn poll(
        &mut self,
        id: PeerId,
        answer: oneshot::Sender<Answer<Payload>>,
        takes_bytes: bool,
    ) {
        self.polls.push(Poll {
            id,
            answer,
            takes_bytes,
        });
    }

    pub(super) fn post(&mut self, id: PeerId, answer: oneshot::Sender<Answer<()>>, is_bytes: bool) {
        self.posts.push(Post {
            id,
            answer,
            is_bytes,
        });
    }

    /// Whether the body of a POST is bytes; none if it was answered before.
    pub(super) fn is_bytes(&self, id: PeerId) -> Option<bool> {
        let post = self.posts.iter().find(|it| it.id == id);
        post.map(|it| it.is_bytes)
    }

    /// Answers a poll with packets.
    pub(super) fn answer_poll(&mut self, id: PeerId, revision: Revision, packets: &[Out<Taken>]) {
        if let Some(place) = self.polls.iter().position(|it| it.id == id) {
            let poll = self.polls.swap_remove(place);
            let payload = payload(revision, poll.takes_bytes, packets);
            // Whether it arrives shows by what the client does.
            poll.answer.send(Ok(payload)).ok();
        }
        self.release();
    }

    /// Answers a POST.
    pub(super) fn answer_post(&mut self, id: PeerId) {
        if let Some(place) = self.posts.iter().position(|it| it.id == id) {
            self.posts.swap_remove(place).answer.send(Ok(())).ok();
        }
        self.release();
    }

    /// Refuses either.
    pub(super) fn refuse(&mut self, id: PeerId, refused: Refused) {
        if let Some(place) = self.polls.iter().position(|it| it.id == id) {
            let poll = self.polls.swap_remove(place);
            poll.answer.send(Err(refused.counted())).ok();
        }
        if let Some(place) = self.posts.iter().position(|it| it.id == id) {
            let post = self.posts.swap_remove(place);
            post.answer.send(Err(refused.counted())).ok();
        }
        self.release();
    }

    /// One whose client has gone; if there is none, the task is told of it.
    pub(super) fn gone(&mut self, cx: &mut Context<'_>) -> Option<Gone> {
        let poll = self.polls.iter_mut();
        let poll = poll.map(|it| (it.answer.poll_closed(cx).is_ready(), it.id));
        if let Some((_, id)) = poll.into_iter().find(|(is_gone, _)| *is_gone) {
            self.polls.retain(|it| it.id != id);
            self.release();
            return Some(Gone::Poll(id));
        }
        let post = self.posts.iter_mut();
        let post = post.map(|it| (it.answer.poll_closed(cx).is_ready(), it.id));
        if let Some((_, id)) = post.into_iter().find(|(is_gone, _)| *is_gone) {
            self.posts.retain(|it| it.id != id);
            self.release();
            return Some(Gone::Post(id));
        }
        None
    }

    /// Nothing stays allocated for who is idle.
    fn release(&mut self) {
        if self.polls.is_empty() {
            self.polls = Vec::new();
        }
        if self.posts.is_empty() {
            self.posts = Vec::new();
        }
    }
}

/// The body of an answer: packets of the session's own, and those in frames.
fn payload(revision: Revision, takes_bytes: bool, packets: &[Out<Taken>]) -> Payload {
    let messages = || {
        let frames = packets.iter().filter_map(|out| match out {
            Out::Message(taken) => Some(&taken.0),
            Out::Packet(_) => None,
        });
        frames.flat_map(|frames| Sent::new(frames))
    };
    // The fourth has one form, whatever is in it.
    let (has_bytes, pairs) = match revision {
        Revision::V4 => (false, false),
        Revision::V3 => (
            messages().any(|it| !it.is_text),
            messages().any(|it| it.is_text && has_pairs(it.payload)),
        ),
    };
    let form = Form::of(revision, takes_bytes, has_bytes, pairs);
    let mut body = payload::Payload::new(form);
    for out in packets {
        match out {
            Out::Packet(packet) => body.packet(packet),
            Out::Message(taken) => {
                for message in Sent::new(&taken.0) {
                    match (message.is_text, revision) {
                        (true, _) => body.text(&[message.payload]),
                        (false, Revision::V4) => body.bytes(message.payload),
                        // Behind the type of a message, which a payload writes by itself.
                        (false, Revision::V3) => {
                            body.bytes(message.payload.get(1..).unwrap_or_default());
                        }
                    }
                }
            }
        }
    }
    Payload {
        body: body.finish(),
        content_type: form.content_type(),
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;
    use crate::protocol::engineio::packet::Packet;
    use crate::protocol::websocket::encode;

    fn taken(frames: &[Bytes]) -> Out<Taken> {
        Out::Message(Taken(frames.concat().into()))
    }

    #[test]
    fn packets_are_taken_out_of_their_frames() {
        let frames = [
            encode::text(b"451-[\"a\"]"),
            encode::binary(&[1, 2, 3]),
            encode::text("4ü".as_bytes()),
        ];
        let packets = [taken(&frames), Out::Packet(Packet::Noop)];
        let answer = payload(Revision::V4, true, &packets);
        assert_eq!(
            answer.body,
            "451-[\"a\"]\u{1e}bAQID\u{1e}4ü\u{1e}6".as_bytes()
        );
        assert_eq!(answer.content_type, "text/plain; charset=UTF-8");
    }

    #[test]
    fn revision_3_has_bytes_where_the_client_takes_them() {
        let frames = [encode::text(b"4a"), encode::binary(&[4, 9])];
        let packets = [taken(&frames)];
        let bytes = payload(Revision::V3, true, &packets);
        assert_eq!(bytes.content_type, "application/octet-stream");
        assert_eq!(bytes.body, &b"\x00\x02\xff4a\x01\x02\xff\x04\x09"[..]);
        let text = payload(Revision::V3, false, &packets);
        assert_eq!(text.body, &b"2:4a6:b4CQ=="[..]);
        let pairs = payload(
            Revision::V3,
            true,
            &[taken(&[encode::text("4😀".as_bytes())])],
        );
        assert_eq!(pairs.content_type, "application/octet-stream");
    }

    #[test]
    fn who_has_gone_is_found() {
        let mut requests = Requests::default();
        let mut cx = Context::from_waker(Waker::noop());
        let (answer, poll) = oneshot::channel();
        requests.poll(1, answer, true);
        let (answer, post) = oneshot::channel();
        requests.post(2, answer, false);
        assert_eq!(requests.gone(&mut cx), None);
        drop(post);
        assert_eq!(requests.gone(&mut cx), Some(Gone::Post(2)));
        assert_eq!(requests.is_bytes(2), None);
        drop(poll);
        assert_eq!(requests.gone(&mut cx), Some(Gone::Poll(1)));
        assert_eq!(requests.gone(&mut cx), None);
    }
}
