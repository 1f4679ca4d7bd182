//! What is asked next, as bytes that are ready to be sent.

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use rand_distr::{Distribution as _, Zipf};

use super::fill::room_id;
use super::order::{Asking, Mix};
use super::walk::Walk;
use crate::error::LoadError;

/// What the answer to a request is held against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Question {
    /// The answer is known.
    Known,
    /// A page of messages: that ends before this one, or the newest.
    Page { before: Option<u32> },
    /// A message is published.
    Write,
}

/// Makes requests one after the other.
pub(super) struct Requests {
    address: String,
    tokens: Vec<String>,
    kind: Kind,
    count: u64,
}

enum Kind {
    /// By person.
    Same(Vec<Vec<u8>>),
    Pages {
        walk: Walk,
        limit: u32,
    },
    Mix(Box<Mixing>),
}

struct Mixing {
    mix: Mix,
    rooms: Zipf<f64>,
    random: StdRng,
}

impl Requests {
    pub(super) fn new(
        address: &str,
        tokens: &[String],
        asking: &Asking,
    ) -> Result<Self, LoadError> {
        let mut requests = Self {
            address: address.to_owned(),
            tokens: tokens.to_vec(),
            kind: Kind::Same(Vec::new()),
            count: 0,
        };
        requests.kind = match asking {
            Asking::Same {
                path,
                if_none_match,
            } => {
                let further = if_none_match
                    .as_ref()
                    .map_or(String::new(), |tag| format!("if-none-match: {tag}\r\n"));
                let people = 0..tokens.len().max(1);
                let each = people.map(|person| {
                    let mut bytes = Vec::new();
                    requests.write(&mut bytes, person, &format!("GET {path}"), &further, "");
                    bytes
                });
                Kind::Same(each.collect())
            }
            Asking::Pages { walk, limit } => Kind::Pages {
                walk: walk.clone(),
                limit: *limit,
            },
            Asking::Mix(mix) => {
                let rooms = Zipf::new(f64::from(mix.rooms), mix.exponent)
                    .map_err(|error| LoadError::Unexpected(format!("Zipf: {error}")))?;
                Kind::Mix(Box::new(Mixing {
                    mix: *mix,
                    rooms,
                    random: StdRng::seed_from_u64(mix.seed),
                }))
            }
        };
        Ok(requests)
    }

    /// Puts the next request into `bytes`, which is emptied; nothing if there are no more.
    pub(super) fn next(&mut self, person: usize, bytes: &mut Vec<u8>) -> Option<Question> {
        bytes.clear();
        let count = self.count;
        self.count += 1;
        match &mut self.kind {
            Kind::Same(ready) => {
                bytes.extend_from_slice(&ready[person % ready.len()]);
                Some(Question::Known)
            }
            Kind::Pages { walk, limit } => {
                let page = walk.next()?;
                let (room, before) = (room_id(page.room), page.before);
                let line = format!("GET /api/rooms/{room}/messages?before={before}&limit={limit}");
                self.write(bytes, person, &line, "", "");
                Some(Question::Page {
                    before: Some(before),
                })
            }
            Kind::Mix(mixing) => {
                let room = room_id(mixing.room());
                let mix = mixing.mix;
                if mixing.random.random_bool(mix.writes) {
                    let body = format!(
                        r#"{{"body":"{:.<width$}","client_id":"{}-{count}"}}"#,
                        "said",
                        mix.seed,
                        width = mix.body_bytes
                    );
                    let further = format!(
                        "content-type: application/json\r\ncontent-length: {}\r\n",
                        body.len()
                    );
                    let line = format!("POST /api/rooms/{room}/messages");
                    self.write(bytes, person, &line, &further, &body);
                    return Some(Question::Write);
                }
                let line = format!("GET /api/rooms/{room}/messages?limit={}", mix.limit);
                self.write(bytes, person, &line, "", "");
                Some(Question::Page { before: None })
            }
        }
    }

    fn write(&self, bytes: &mut Vec<u8>, person: usize, line: &str, further: &str, body: &str) {
        let person = person % self.tokens.len().max(1);
        for part in [line, " HTTP/1.1\r\nhost: ", &self.address, "\r\n"] {
            bytes.extend_from_slice(part.as_bytes());
        }
        if let Some(token) = self.tokens.get(person) {
            for part in ["authorization: Bearer ", token, "\r\n"] {
                bytes.extend_from_slice(part.as_bytes());
            }
        }
        for part in [further, "\r\n", body] {
            bytes.extend_from_slice(part.as_bytes());
        }
    }
}

impl Mixing {
    fn room(&mut self) -> u32 {
        // From 1 to their number.
        let drawn = self.rooms.sample(&mut self.random);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a whole number in the range of the rooms"
        )]
        let place = (drawn as u32).clamp(1, self.mix.rooms) - 1;
        self.mix.first_room + place
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOMS: u32 = 100;

    fn requests(asking: &Asking) -> Requests {
        let tokens = ["one".to_owned(), "two".to_owned()];
        Requests::new("127.0.0.1:1", &tokens, asking).unwrap()
    }

    fn mix(seed: u64) -> Mix {
        Mix {
            first_room: 7,
            rooms: ROOMS,
            exponent: 1.0,
            writes: 0.05,
            seed,
            limit: 50,
            body_bytes: 128,
        }
    }

    #[test]
    fn the_same_is_asked_by_each_in_their_own_name() {
        let mut requests = requests(&Asking::Same {
            path: "/a".to_owned(),
            if_none_match: Some("W/\"1\"".to_owned()),
        });
        let mut bytes = b"what was there".to_vec();
        assert_eq!(requests.next(3, &mut bytes), Some(Question::Known));
        let wanted = "GET /a HTTP/1.1\r\nhost: 127.0.0.1:1\r\nauthorization: Bearer two\r\n\
                      if-none-match: W/\"1\"\r\n\r\n";
        assert_eq!(String::from_utf8(bytes).unwrap(), wanted);
    }

    #[test]
    fn pages_end_when_all_were_asked_for() {
        let walk = Walk {
            rooms: 2,
            messages: 51,
            shortest: 50,
            next: 0,
            turn: 1,
        };
        let mut requests = requests(&Asking::Pages { walk, limit: 50 });
        let mut bytes = Vec::new();
        for _ in 0..2 {
            let page = Question::Page { before: Some(51) };
            assert_eq!(requests.next(0, &mut bytes), Some(page));
            assert!(bytes.starts_with(b"GET /api/rooms/0"), "{bytes:?}");
        }
        assert_eq!(requests.next(0, &mut bytes), None);
    }

    #[test]
    fn one_in_twenty_writes_and_the_first_room_is_asked_for_most() {
        let mut requests = requests(&Asking::Mix(mix(1)));
        let mut bytes = Vec::new();
        let (mut writes, mut first, mut second) = (0, 0, 0);
        let path = |room| format!("/api/rooms/{}/", room_id(room)).into_bytes();
        let asks_for = |bytes: &[u8], path: &[u8]| memchr::memmem::find(bytes, path).is_some();
        for _ in 0..20_000 {
            if requests.next(0, &mut bytes) == Some(Question::Write) {
                writes += 1;
            }
            first += u32::from(asks_for(&bytes, &path(7)));
            second += u32::from(asks_for(&bytes, &path(8)));
        }
        assert!((800..1200).contains(&writes), "{writes}");
        // The sum of 1/n up to 100 is 5.19.
        assert!((3400..4300).contains(&first), "{first}");
        assert!((1600..2250).contains(&second), "{second}");
    }

    #[test]
    fn what_is_written_is_as_long_as_it_says() {
        let always = Mix {
            writes: 1.0,
            ..mix(2)
        };
        let mut requests = requests(&Asking::Mix(always));
        let mut bytes = Vec::new();
        requests.next(0, &mut bytes);
        let text = String::from_utf8(bytes).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.ends_with(&format!("content-length: {}", body.len())));
        let said: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(said["body"].as_str().unwrap().len(), 128);
        assert_eq!(said["client_id"], "2-0");
    }
}
