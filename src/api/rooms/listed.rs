//! Several rooms, by copies of what everybody sees of them, with what is the asker's own.
//!
//! Which rooms there are for somebody, what they are in them and how far they have read is asked each
//! time: that is their own, and of how far they have read no cursor tells.

use actix_web::{HttpRequest, HttpResponse};

use super::{RoomPage, RoomView};
use crate::api::ApiState;
use crate::api::conditional::{Conditional, of_all};
use crate::api::paging::next_link;
use crate::api::problem::ApiError;
use crate::cache::How;
use crate::cache::copy::Object;
use crate::cache::least::Least;
use crate::cache::reads::{age_s, digest, entity_tag, to_body};
use crate::cache::version::Version;
use crate::protocol::id::RoomId;
use crate::store::own_rooms::OwnRoom;

/// Rooms as somebody sees them.
pub(in crate::api) struct Listed {
    /// In the order in which they were asked for; without those that are no more.
    pub(in crate::api) rooms: Vec<RoomView>,
    how: How,
    age_s: u64,
}

/// These rooms, at least as new as what the client has seen.
pub(in crate::api) async fn views(
    state: &ApiState,
    own: &[OwnRoom],
    least: &Least,
) -> Result<Listed, ApiError> {
    let ids: Vec<RoomId> = own.iter().map(|room| room.id).collect();
    let found = state.cache.rooms(&state.store, &ids, least).await?;
    let mut listed = Listed {
        rooms: Vec::with_capacity(own.len()),
        how: How::Hit,
        age_s: 0,
    };
    for (own, answer) in own.iter().zip(found) {
        let Some(answer) = answer else { continue };
        let Object::Room(room) = &answer.copy.object else {
            return Err(ApiError::Internal("a copy that is no room"));
        };
        let mut room = (**room).clone();
        room.role = own.role;
        room.reading = own.reading;
        listed.rooms.push(room.into());
        listed.how = of_all(listed.how, answer.how);
        listed.age_s = listed.age_s.max(age_s(&answer));
    }
    Ok(listed)
}

impl Listed {
    /// As a page of a list that goes on after `next`. Its tag is what it says: it is of many rows.
    pub(super) fn answer(
        self,
        req: &HttpRequest,
        next: Option<RoomId>,
    ) -> Result<HttpResponse, ApiError> {
        let (how, age_s) = (self.how, self.age_s);
        let page = RoomPage {
            rooms: self.rooms,
            next,
        };
        let body = to_body(&page)?;
        let etag = entity_tag(Version::of_row(0).epoch, digest(&body));
        let link = |next: RoomId| {
            let next = next.to_string();
            next_link(req.path(), req.query_string(), "after", &next)
        };
        let answer = Conditional {
            etag: &etag,
            how,
            age_s,
            next: next.and_then(link),
        };
        answer.answer(req, |_| Ok((body, false)))
    }
}
