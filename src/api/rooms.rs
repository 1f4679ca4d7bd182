//! Rooms: making, finding and listing them.

pub(super) mod listed;
mod naming;
mod shared;

use actix_web::web::{Data, Json};
use actix_web::{HttpRequest, HttpResponse, get, patch, post};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use self::naming::{check_name, check_topic, slug_of};
use super::extract::{Body, Checks, Query, RoomPath};
use super::problem::{ApiError, Failure};
use super::{ApiState, conditional};
use crate::auth::Identity;
use crate::hub::RoomChange;
use crate::protocol::error::ErrorCode;
use crate::protocol::event::{Epoch, History, Role, RoomSettings, Seq};
use crate::protocol::id::{RoomId, RoomRef, UserId};
use crate::protocol::text::Slug;
use crate::store::own_rooms::{self, Listing};
use crate::store::rooms::{self, NewRoom, Room, RoomAccess};

/// A page of rooms is this long when nothing is said.
const LIST_LIMIT_DEFAULT: u32 = 50;

/// A page of rooms is at most this long.
const LIST_LIMIT_MAX: u32 = 100;

/// How often another random slug is tried before something else must be wrong.
const SLUG_ATTEMPTS: usize = 4;

/// How often a change is made anew when others change the room at the same time.
const CHANGE_ATTEMPTS: u32 = 5;

/// What a new room brings.
#[derive(Deserialize, ToSchema)]
pub(super) struct CreateRoom {
    /// Its name.
    #[schema(min_length = 1, max_length = 80)]
    name: String,
    /// Its name in addresses, unique; made of the name if absent.
    #[schema(max_length = 64, pattern = "^[a-z0-9][a-z0-9_-]*$")]
    slug: Option<String>,
    /// What it is about.
    #[schema(max_length = 500)]
    topic: Option<String>,
    /// Whether only its members may know of it.
    #[schema(default = false)]
    is_private: Option<bool>,
    /// What new members see of the past: `all`, or from when they have `joined`.
    history: Option<History>,
}

/// What is to change of a room; what is absent stays.
#[derive(Deserialize, ToSchema)]
pub(super) struct ChangeRoom {
    /// Its name.
    #[schema(min_length = 1, max_length = 80)]
    name: Option<String>,
    /// What it is about.
    #[schema(max_length = 500)]
    topic: Option<String>,
    /// Whether only its members may know of it.
    is_private: Option<bool>,
    /// What those who become members from now on see of the past.
    history: Option<History>,
}

/// A room, as the one who asks sees it.
#[derive(Serialize, ToSchema)]
pub(super) struct RoomView {
    /// The id.
    #[schema(value_type = Uuid)]
    id: RoomId,
    /// The name in addresses.
    slug: String,
    /// The name.
    name: String,
    /// What it is about.
    topic: String,
    /// Whether only its members may know of it.
    is_private: bool,
    /// What new members see of the past.
    history: History,
    /// Who made it.
    #[schema(value_type = Uuid)]
    created_by: UserId,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// The log's life.
    #[schema(value_type = i32)]
    epoch: Epoch,
    /// The last event.
    last_seq: Seq,
    /// The last message.
    last_msg_no: u64,
    /// One's own role; null: no member.
    role: Option<Role>,
    /// The last message that one has read; null: no member.
    read_msg_no: Option<u64>,
    /// How many messages there are after it; null: no member.
    unread: Option<u64>,
    /// How often one is named in those, counted up to 1,000; null: no member.
    mentions: Option<u64>,
}

/// A page of rooms.
#[derive(Serialize, ToSchema)]
pub(super) struct RoomPage {
    /// The newest first.
    rooms: Vec<RoomView>,
    /// The `after` of the next page; null: there is none.
    #[schema(value_type = Option<Uuid>)]
    next: Option<RoomId>,
}

/// Which rooms are listed. Only for the description: [`Query`] reads them.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code)]
struct ListRooms {
    /// Only those that one is a member of.
    mine: Option<bool>,
    /// The `next` of the page before.
    after: Option<Uuid>,
    /// At most this many.
    #[param(minimum = 1, maximum = 100, default = 50)]
    limit: Option<u32>,
}

impl RoomView {
    /// Which.
    pub(super) const fn id(&self) -> RoomId {
        self.id
    }
}

impl From<Room> for RoomView {
    fn from(room: Room) -> Self {
        Self {
            id: room.id,
            slug: room.slug,
            name: room.name,
            topic: room.topic,
            is_private: room.is_private,
            history: room.history,
            created_by: room.created_by,
            created_at: room.created_at,
            epoch: room.epoch,
            last_seq: room.last_seq,
            last_msg_no: room.last_msg_no,
            role: room.role,
            read_msg_no: room.reading.map(|reading| reading.read_msg_no),
            unread: room
                .reading
                .map(|reading| room.last_msg_no.saturating_sub(reading.read_msg_no)),
            mentions: room.reading.map(|reading| reading.mentions),
        }
    }
}

/// Makes a room, and its maker the owner.
#[utoipa::path(
    tag = "rooms",
    security(("bearer" = []), ("cookie" = [])),
    request_body = CreateRoom,
    responses((status = 201, description = "Made", body = RoomView), Failure)
)]
#[post("/rooms")]
pub(super) async fn create_room(
    state: Data<ApiState>,
    who: Identity,
    body: Body<CreateRoom>,
) -> Result<HttpResponse, ApiError> {
    let Body(CreateRoom {
        name,
        slug,
        topic,
        is_private,
        history,
    }) = body;
    let topic = topic.unwrap_or_default();
    let mut checks = Checks::default();
    checks.field("name", check_name(&name));
    checks.field("topic", check_topic(&topic));
    let slug = slug.map(|slug| slug.parse::<Slug>()).transpose();
    checks.field("slug", slug.as_ref().map(|_| ()).map_err(Clone::clone));
    checks.finish()?;
    let slug = slug.unwrap_or_default();
    let conn = state.store.get().await?;
    let make = |slug: Slug| {
        let (conn, name, topic) = (&conn, &name, &topic);
        async move {
            let new = NewRoom {
                name,
                slug: &slug,
                topic,
                is_private: is_private.unwrap_or(false),
                history: history.unwrap_or_default(),
                owner: who.user_id,
            };
            rooms::insert(conn, new).await
        }
    };
    let room = if let Some(slug) = slug {
        make(slug).await?.ok_or(ErrorCode::SlugTaken)?
    } else {
        let mut room = None;
        for attempt in 0..SLUG_ATTEMPTS {
            room = make(slug_of(&name, attempt > 0)?).await?;
            if room.is_some() {
                break;
            }
        }
        room.ok_or(ErrorCode::SlugTaken)?
    };
    state.hub.join_streams(who.user_id, room.id);
    Ok(HttpResponse::Created().json(RoomView::from(room)))
}

/// Public rooms and one's own, the newest first.
#[utoipa::path(
    tag = "rooms",
    security(("bearer" = []), ("cookie" = [])),
    params(ListRooms, conditional::Asked),
    responses((status = 200, description = "A page of rooms", body = RoomPage),
        (status = 304, description = "The client has it already"), Failure)
)]
#[get("/rooms")]
pub(super) async fn list_rooms(
    req: HttpRequest,
    state: Data<ApiState>,
    who: Identity,
    query: Query,
) -> Result<HttpResponse, ApiError> {
    let limit = query.number("limit", 1..=LIST_LIMIT_MAX)?;
    let limit = limit.unwrap_or(LIST_LIMIT_DEFAULT);
    let after = query.id("after")?.map(RoomId);
    let listing = if query.flag("mine")? {
        Listing::Mine
    } else {
        Listing::All
    };
    let least = conditional::least(&req)?;
    let conn = state.store.get().await?;
    // One more than asked for tells whether there is a next page.
    let mut own = own_rooms::list(&conn, who.user_id, listing, after, limit + 1).await?;
    drop(conn);
    let next = super::cut(&mut own, limit, |room| room.id);
    let found = listed::views(&state, &own, &least).await?;
    found.answer(&req, next)
}

/// A room, by id or slug.
#[utoipa::path(
    tag = "rooms",
    security(("bearer" = []), ("cookie" = [])),
    params(("id" = String, Path, description = "The id or the slug"), conditional::Asked),
    responses((status = 200, description = "The room", body = RoomView),
        (status = 304, description = "The client has it already"), Failure)
)]
#[get("/rooms/{id}")]
pub(super) async fn get_room(
    req: HttpRequest,
    state: Data<ApiState>,
    who: Identity,
    room: RoomPath,
) -> Result<HttpResponse, ApiError> {
    shared::answer(&req, &state, &room.0, who).await
}

/// Changes what is said of a room, as an event in it. For owners.
#[utoipa::path(
    tag = "rooms",
    security(("bearer" = []), ("cookie" = [])),
    params(("id" = String, Path, description = "The id or the slug")),
    request_body = ChangeRoom,
    responses((status = 200, description = "The room as it is now", body = RoomView), Failure)
)]
#[patch("/rooms/{id}")]
pub(super) async fn change_room(
    state: Data<ApiState>,
    who: Identity,
    room: RoomPath,
    body: Body<ChangeRoom>,
) -> Result<Json<RoomView>, ApiError> {
    let Body(wanted) = body;
    let mut checks = Checks::default();
    if let Some(name) = &wanted.name {
        checks.field("name", check_name(name));
    }
    if let Some(topic) = &wanted.topic {
        checks.field("topic", check_topic(topic));
    }
    checks.finish()?;
    let mut attempts = 0;
    loop {
        let conn = state.store.get().await?;
        let found = rooms::view(&conn, &room.0, who.user_id).await?;
        drop(conn);
        let found = found.ok_or(ErrorCode::RoomNotFound)?;
        let change = RoomChange {
            settings: RoomSettings {
                name: wanted.name.as_deref().unwrap_or(&found.name).into(),
                topic: wanted.topic.as_deref().unwrap_or(&found.topic).into(),
                history: wanted.history.unwrap_or(found.history),
                is_private: wanted.is_private.unwrap_or(found.is_private),
            },
            version: found.version,
        };
        let changed = state.hub.change_room(found.id, who.user_id, change).await;
        attempts += 1;
        match changed {
            // Perhaps only because somebody else has changed it meanwhile.
            Err(refusal)
                if refusal.code == ErrorCode::Unavailable && attempts < CHANGE_ATTEMPTS => {}
            Err(refusal) => return Err(refusal.into()),
            Ok(_) => return Ok(Json(view(&state, &RoomRef::Id(found.id), who).await?)),
        }
    }
}

/// The room as `who` sees it.
pub(super) async fn view(
    state: &ApiState,
    room: &RoomRef,
    who: Identity,
) -> Result<RoomView, ApiError> {
    let conn = state.store.get().await?;
    let room = rooms::view(&conn, room, who.user_id).await?;
    Ok(room.ok_or(ErrorCode::RoomNotFound)?.into())
}

/// What `who` is in a room that they may know of.
pub(super) async fn visible(
    state: &ApiState,
    room: &RoomRef,
    who: Identity,
) -> Result<RoomAccess, ApiError> {
    let access = rooms::access(&state.store, room, who.user_id).await?;
    match access {
        Some(access) if !access.is_private || access.role.is_some() => Ok(access),
        _ => Err(ErrorCode::RoomNotFound.into()),
    }
}

/// What `who` is in a room that they are a member of.
pub(super) async fn membership(
    state: &ApiState,
    room: &RoomRef,
    who: Identity,
) -> Result<(RoomAccess, Role), ApiError> {
    let access = visible(state, room, who).await?;
    let role = access.role.ok_or(ErrorCode::NotAMember)?;
    Ok((access, role))
}
