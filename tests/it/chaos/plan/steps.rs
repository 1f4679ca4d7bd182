//! What a client does.

use rand::RngExt as _;
use rand::rngs::StdRng;

use super::pick;

/// What a client does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::chaos) enum Step {
    /// Publishes so many messages without waiting in between.
    Publish(usize),
    EmitDurable,
    EmitVolatile,
    Typing,
    Edit,
    Delete,
    React,
    Pin,
    Read,
    /// Asks who is in the room.
    AskWho,
    /// Joins the room on the socket, from the client's position.
    Join,
    /// Joins it from this far before the position.
    JoinEarlier(u64),
    /// Joins it without a position.
    JoinNow,
    /// Joins all rooms of a cursor on the socket.
    Resume,
    Leave,
    BecomeMember,
    GiveUpMembership,
    AddMember,
    RemoveMember,
    ChangeRole,
    Ban,
    Unban,
    Mute,
    Unmute,
    /// Makes an invitation, for whoever takes it.
    Invite,
    AcceptInvitation,
    Snapshot,
    Close,
    BreakOff,
    /// Reads nothing for so long, milliseconds.
    Stall(u64),
}

impl Step {
    /// The next step of a client.
    pub(in crate::chaos) fn random(rng: &mut StdRng) -> Self {
        match rng.random_range(0..100) {
            0..33 => Self::Publish(rng.random_range(1..=5)),
            33..38 => Self::moderation(rng),
            38..44 => Self::EmitDurable,
            44..47 => Self::EmitVolatile,
            47..50 => Self::Typing,
            50..54 => Self::Edit,
            54..56 => Self::Delete,
            56..61 => Self::React,
            61..63 => Self::Pin,
            63..65 => Self::Read,
            65..67 => Self::Join,
            67 => Self::AskWho,
            68..70 => Self::Resume,
            70..73 => Self::JoinEarlier(rng.random_range(1..60)),
            73 => Self::JoinNow,
            74..76 => Self::Leave,
            76..81 => Self::BecomeMember,
            81..82 => Self::GiveUpMembership,
            82..86 => Self::AddMember,
            86..89 => Self::RemoveMember,
            89..90 => Self::ChangeRole,
            90..94 => Self::Snapshot,
            94..95 => Self::Close,
            95..98 => Self::BreakOff,
            _ => Self::Stall(rng.random_range(50..500)),
        }
    }

    fn moderation(rng: &mut StdRng) -> Self {
        // What shuts out or silences is undone more often than done: few may do either.
        let steps = [
            Self::Ban,
            Self::Unban,
            Self::Unban,
            Self::Mute,
            Self::Unmute,
            Self::Unmute,
            Self::Invite,
            Self::AcceptInvitation,
            Self::AcceptInvitation,
        ];
        pick(rng, &steps)
    }
}
