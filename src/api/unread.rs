//! What one has not read, over all rooms.

use actix_web::get;
use actix_web::web::Data;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::ApiState;
use super::extract::Query;
use super::paging::Paged;
use super::problem::{ApiError, Failure};
use crate::auth::Identity;
use crate::protocol::event::Seq;
use crate::protocol::id::RoomId;
use crate::store::unread::{self, UnreadRoom};

/// A page is this long when nothing is said: more rooms than most people are in.
const LIST_LIMIT_DEFAULT: u32 = 200;

/// A page is at most this long.
const LIST_LIMIT_MAX: u32 = 1000;

/// What one has not read.
#[derive(Serialize, ToSchema)]
pub(super) struct UnreadSummary {
    /// How many rooms have something.
    room_count: u64,
    /// How many messages, in all of them.
    unread: u64,
    /// The rooms that have something, in the order of their ids.
    rooms: Vec<UnreadView>,
    /// The `after` of the next page; null: there is none.
    #[schema(value_type = Option<Uuid>)]
    next: Option<RoomId>,
}

/// What one has not read of a room.
#[derive(Serialize, ToSchema)]
pub(super) struct UnreadView {
    /// The room.
    #[schema(value_type = Uuid)]
    room: RoomId,
    /// The last event.
    last_seq: Seq,
    /// The last message.
    last_msg_no: u64,
    /// The last message that one has read.
    read_msg_no: u64,
    /// How many messages there are after it.
    unread: u64,
    /// How often one is named in those, counted up to 1,000.
    mentions: u64,
}

impl From<UnreadRoom> for UnreadView {
    fn from(room: UnreadRoom) -> Self {
        Self {
            room: room.room_id,
            last_seq: room.last_seq,
            last_msg_no: room.last_msg_no,
            read_msg_no: room.read_msg_no,
            unread: room.last_msg_no.saturating_sub(room.read_msg_no),
            mentions: room.mentions,
        }
    }
}

/// Which of them are listed. Only for the description: [`Query`] reads them.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code)]
struct ListUnread {
    /// The `next` of the page before.
    after: Option<Uuid>,
    /// At most this many.
    #[param(minimum = 1, maximum = 1000, default = 200)]
    limit: Option<u32>,
}

/// What one has not read in all one's rooms. Those where one has read everything are left out.
#[utoipa::path(
    tag = "rooms",
    security(("bearer" = []), ("cookie" = [])),
    params(ListUnread),
    responses((status = 200, description = "What is unread", body = UnreadSummary), Failure)
)]
#[get("/me/unread")]
pub(super) async fn unread_summary(
    state: Data<ApiState>,
    who: Identity,
    query: Query,
) -> Result<Paged<UnreadSummary>, ApiError> {
    let limit = query.number("limit", 1..=LIST_LIMIT_MAX)?;
    let limit = limit.unwrap_or(LIST_LIMIT_DEFAULT);
    let after = query.id("after")?.map(RoomId);
    let conn = state.store.get().await?;
    let mut found = unread::summary(&conn, who.user_id, after, limit + 1).await?;
    drop(conn);
    let next = super::cut(&mut found.page, limit, |room| room.room_id);
    let summary = UnreadSummary {
        room_count: found.rooms,
        unread: found.messages,
        rooms: found.page.into_iter().map(UnreadView::from).collect(),
        next,
    };
    Ok(Paged::new(summary, "after", next))
}
