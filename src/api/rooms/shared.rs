//! A room by a copy of what everybody sees of it, with what is the asker's own.

use actix_web::{HttpRequest, HttpResponse};

use super::RoomView;
use crate::api::conditional::{self, Conditional, whole};
use crate::api::problem::ApiError;
use crate::api::{ApiState, permits};
use crate::auth::Identity;
use crate::cache::copy::Object;
use crate::cache::reads::{age_s, entity_tag, to_body};
use crate::protocol::error::ErrorCode;
use crate::protocol::event::Role;
use crate::protocol::id::RoomRef;

/// The room as `who` sees it. Its tag says of the asker's part all that is in it: the role, and how far
/// they have read.
pub(super) async fn answer(
    req: &HttpRequest,
    state: &ApiState,
    room: &RoomRef,
    who: Identity,
) -> Result<HttpResponse, ApiError> {
    let least = conditional::least(req)?;
    let (access, permitted) = permits::visible(state, room, who, &least).await?;
    let (cache, store, id) = (&state.cache, &state.store, access.room_id);
    let mut how = permitted;
    let mut membership = None;
    // In this order: what is counted as unread is in the room that is shown.
    if access.role.is_some() {
        let found = cache.membership(store, id, who.user_id).await?;
        if let Some((found, known)) = found {
            how = whole(how, whole(known, how));
            membership = Some(found);
        } else if access.is_private {
            // It has ended since.
            return Err(ErrorCode::RoomNotFound.into());
        }
    }
    let shared = cache.room(store, id, &least).await?;
    let shared = shared.ok_or(ErrorCode::RoomNotFound)?;
    let Object::Room(found) = &shared.copy.object else {
        return Err(ApiError::Internal("a copy that is no room"));
    };
    let own = membership.map_or_else(String::new, |it| {
        let letter = match it.role {
            Role::Member => 'm',
            Role::Moderator => 'd',
            Role::Owner => 'o',
        };
        let (read, mentions) = (it.reading.read_msg_no, it.reading.mentions);
        format!("-{letter}{read}.{mentions}")
    });
    let etag = entity_tag(found.epoch, format_args!("{}{own}", found.last_seq));
    let answer = Conditional {
        etag: &etag,
        how: whole(how, shared.how),
        age_s: age_s(&shared),
        next: None,
    };
    answer.answer(req, |_| {
        let mut view = (**found).clone();
        view.role = membership.map(|it| it.role);
        view.reading = membership.map(|it| it.reading);
        Ok((to_body(&RoomView::from(view))?, false))
    })
}
