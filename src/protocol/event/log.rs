//! Events as the log keeps them: a kind, the message that they are about, and data.
//!
//! The data of a message or an edit that are empty stand for one that was redacted. What tells
//! where such an event belongs (`msg_no`, the message) is in columns of its own, and stays.

use std::borrow::Cow;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{EventBody, EventKind, MembershipChange, Role};
use crate::protocol::body::Body;
use crate::protocol::data::{Data, DataError};
use crate::protocol::id::{EventId, UserId};
use crate::protocol::msgpack;
use crate::protocol::msgpack::read::{Head, Malformed, Reader, text};

/// A log entry that cannot be read back.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// A kind that this version does not know.
    #[error("unknown event kind {0}")]
    UnknownKind(i16),
    /// A message without its number.
    #[error("a message without msg_no")]
    NoMsgNo,
    /// A custom event without its name or value.
    #[error("a custom event without name or data")]
    NoCustom,
    /// A change of a message that does not say of which.
    #[error("a change of a message without message_id")]
    NoMessageId,
    /// The data are not what the kind asks for.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The data are not what the kind asks for.
    #[error("event data: {0}")]
    Decode(#[from] rmp_serde::decode::Error),
}

#[derive(Serialize, Deserialize)]
struct LoggedMessage<'a> {
    body: Cow<'a, Body>,
    #[serde(borrow)]
    client_id: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "<[_]>::is_empty")]
    mentions: Cow<'a, [UserId]>,
}

/// Written and read by our own MessagePack, because its `data` is what an application sent.
#[derive(Serialize)]
struct LoggedCustom<'a> {
    name: &'a str,
    data: &'a Data,
    client_id: Option<&'a str>,
}

#[derive(Serialize, Deserialize)]
struct LoggedMembership {
    user_id: UserId,
    change: MembershipChange,
    role: Option<Role>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<Timestamp>,
}

#[derive(Serialize, Deserialize)]
struct LoggedEdit<'a> {
    body: Cow<'a, Body>,
}

#[derive(Serialize, Deserialize)]
struct LoggedReaction<'a> {
    #[serde(borrow)]
    emoji: Cow<'a, str>,
    removed: bool,
}

#[derive(Serialize, Deserialize)]
struct LoggedPin {
    pinned: bool,
}

impl EventBody {
    /// A message's data as the log keeps them. They include neither `msg_no`, which is known only
    /// when the log has them, nor the thread, which is the row's `message_id`.
    pub fn message_to_log(
        body: &Body,
        client_id: &str,
        mentions: &[UserId],
    ) -> Result<Vec<u8>, DataError> {
        Ok(rmp_serde::to_vec_named(&LoggedMessage {
            body: Cow::Borrowed(body),
            client_id: client_id.into(),
            mentions: mentions.into(),
        })?)
    }

    /// The data as the log keeps them, MessagePack. Nothing is left of what was redacted.
    pub fn to_log(&self) -> Result<Vec<u8>, DataError> {
        Ok(match self {
            Self::Message { deleted: true, .. }
            | Self::Edit { deleted: true, .. }
            | Self::Delete { .. } => Vec::new(),
            Self::Message {
                body,
                client_id,
                mentions,
                ..
            } => Self::message_to_log(body, client_id, mentions)?,
            Self::Custom {
                name,
                data,
                client_id,
            } => {
                let mut logged = Vec::with_capacity(64 + name.len() + data.message_pack().len());
                let custom = LoggedCustom {
                    name,
                    data,
                    client_id: client_id.as_deref(),
                };
                msgpack::write::append(&mut logged, &custom).map_err(DataError::from)?;
                logged
            }
            Self::Membership {
                user_id,
                change,
                role,
                until,
            } => rmp_serde::to_vec_named(&LoggedMembership {
                user_id: *user_id,
                change: *change,
                role: *role,
                until: *until,
            })?,
            Self::Edit { body, .. } => rmp_serde::to_vec_named(&LoggedEdit {
                body: Cow::Borrowed(body),
            })?,
            Self::Reaction { emoji, removed, .. } => rmp_serde::to_vec_named(&LoggedReaction {
                emoji: (&**emoji).into(),
                removed: *removed,
            })?,
            Self::Pin { pinned, .. } => rmp_serde::to_vec_named(&LoggedPin { pinned: *pinned })?,
            Self::Room(settings) => rmp_serde::to_vec_named(settings)?,
        })
    }

    /// Reads a row of the log.
    pub fn from_log(
        kind: i16,
        msg_no: Option<u64>,
        message_id: Option<EventId>,
        data: &[u8],
    ) -> Result<Self, LogError> {
        const MESSAGE: i16 = EventKind::Message as i16;
        const CUSTOM: i16 = EventKind::Custom as i16;
        const MEMBERSHIP: i16 = EventKind::Membership as i16;
        const EDIT: i16 = EventKind::Edit as i16;
        const DELETE: i16 = EventKind::Delete as i16;
        const REACTION: i16 = EventKind::Reaction as i16;
        const PIN: i16 = EventKind::Pin as i16;
        const ROOM: i16 = EventKind::Room as i16;
        let about = message_id.ok_or(LogError::NoMessageId);
        Ok(match kind {
            MESSAGE => message(msg_no.ok_or(LogError::NoMsgNo)?, message_id, data)?,
            CUSTOM => custom(data)?,
            MEMBERSHIP => {
                let logged: LoggedMembership = rmp_serde::from_slice(data)?;
                Self::Membership {
                    user_id: logged.user_id,
                    change: logged.change,
                    role: logged.role,
                    until: logged.until,
                }
            }
            EDIT if data.is_empty() => Self::Edit {
                message_id: about?,
                body: Body::default(),
                deleted: true,
            },
            EDIT => {
                let logged: LoggedEdit<'_> = rmp_serde::from_slice(data)?;
                Self::Edit {
                    message_id: about?,
                    body: logged.body.into_owned(),
                    deleted: false,
                }
            }
            DELETE => Self::Delete { message_id: about? },
            REACTION => {
                let logged: LoggedReaction<'_> = rmp_serde::from_slice(data)?;
                Self::Reaction {
                    message_id: about?,
                    emoji: logged.emoji.into(),
                    removed: logged.removed,
                }
            }
            PIN => {
                let logged: LoggedPin = rmp_serde::from_slice(data)?;
                Self::Pin {
                    message_id: about?,
                    pinned: logged.pinned,
                }
            }
            ROOM => Self::Room(rmp_serde::from_slice(data)?),
            other => return Err(LogError::UnknownKind(other)),
        })
    }
}

fn message(msg_no: u64, thread: Option<EventId>, data: &[u8]) -> Result<EventBody, LogError> {
    if data.is_empty() {
        return Ok(EventBody::Message {
            msg_no,
            body: Body::default(),
            client_id: Box::default(),
            thread,
            mentions: Box::default(),
            deleted: true,
        });
    }
    let logged: LoggedMessage<'_> = rmp_serde::from_slice(data)?;
    Ok(EventBody::Message {
        msg_no,
        body: logged.body.into_owned(),
        client_id: logged.client_id.into(),
        thread,
        mentions: logged.mentions.into(),
        deleted: false,
    })
}

fn custom(logged: &[u8]) -> Result<EventBody, LogError> {
    let malformed = |error: Malformed| LogError::Data(error.into());
    let mut reader = Reader::new(logged);
    let Head::Map(fields) = reader.head().map_err(malformed)? else {
        return Err(LogError::NoCustom);
    };
    let (mut name, mut data, mut client_id) = (None, None, None);
    for _ in 0..fields {
        let key = reader.key().map_err(malformed)?;
        let value = reader.value().map_err(malformed)?;
        match (key, Reader::new(value).head().map_err(malformed)?) {
            ("data", _) => data = Some(Data::from_message_pack(value)?),
            ("name", Head::Text(bytes)) => name = Some(text(bytes).map_err(malformed)?),
            ("client_id", Head::Text(bytes)) => client_id = Some(text(bytes).map_err(malformed)?),
            _ => {}
        }
    }
    match (name, data) {
        (Some(name), Some(data)) => Ok(EventBody::Custom {
            name: name.into(),
            data,
            client_id: client_id.map(Into::into),
        }),
        _ => Err(LogError::NoCustom),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::event::{History, RoomSettings};

    fn bodies() -> Vec<EventBody> {
        let message_id = EventId::generate();
        let message = |thread, mentions: Vec<UserId>| EventBody::Message {
            msg_no: 3,
            body: "hi \u{1F600}".into(),
            client_id: "c1".into(),
            thread,
            mentions: mentions.into(),
            deleted: false,
        };
        vec![
            message(None, Vec::new()),
            message(
                Some(message_id),
                vec![UserId::generate(), UserId::generate()],
            ),
            EventBody::Custom {
                name: "cursor".into(),
                data: serde_json::from_str(r#"{"x":[1,2.5,null]}"#).unwrap(),
                client_id: None,
            },
            EventBody::Membership {
                user_id: UserId::generate(),
                change: MembershipChange::Added,
                role: Some(Role::Moderator),
                until: None,
            },
            EventBody::Membership {
                user_id: UserId::generate(),
                change: MembershipChange::Muted,
                role: None,
                until: Some("2026-01-02T03:04:05.678901Z".parse().unwrap()),
            },
            EventBody::Room(RoomSettings {
                name: "General".into(),
                topic: Box::default(),
                history: History::Joined,
                is_private: true,
            }),
            EventBody::Edit {
                message_id,
                body: "ho".into(),
                deleted: false,
            },
            EventBody::Delete { message_id },
            EventBody::Reaction {
                message_id,
                emoji: "\u{1F44D}".into(),
                removed: true,
            },
            EventBody::Pin {
                message_id,
                pinned: true,
            },
        ]
    }

    fn through_the_log(body: &EventBody) -> EventBody {
        let logged = body.to_log().unwrap();
        let (kind, msg_no) = (body.kind() as i16, body.msg_no());
        EventBody::from_log(kind, msg_no, body.message_id(), &logged).unwrap()
    }

    #[test]
    fn every_kind_survives_the_log() {
        for body in bodies() {
            assert_eq!(through_the_log(&body), body);
        }
    }

    #[test]
    fn what_is_redacted_has_no_data_and_keeps_its_place() {
        for body in bodies() {
            let Some(redacted) = body.redacted() else {
                continue;
            };
            assert!(redacted.to_log().unwrap().is_empty());
            assert_eq!(through_the_log(&redacted), redacted);
            let place = |it: &EventBody| (it.kind(), it.msg_no(), it.message_id());
            assert_eq!(place(&redacted), place(&body));
        }
    }

    #[test]
    fn messages_of_before_there_were_mentions_are_read() {
        let logged = rmp_serde::to_vec_named(&serde_json::json!({"body": "a", "client_id": "b"}));
        let body = EventBody::from_log(1, Some(1), None, &logged.unwrap()).unwrap();
        assert!(matches!(body, EventBody::Message { mentions, .. } if mentions.is_empty()));
    }

    #[test]
    fn what_is_not_ours_is_an_error() {
        assert!(matches!(
            EventBody::from_log(99, None, None, &[]),
            Err(LogError::UnknownKind(99))
        ));
        assert!(matches!(
            EventBody::from_log(5, None, None, &[]),
            Err(LogError::NoMessageId)
        ));
        assert!(EventBody::from_log(1, Some(1), None, b"\xc1").is_err());
    }
}
