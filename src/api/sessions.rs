//! One's own sessions: where one is logged in, and ending that.

use actix_web::http::header;
use actix_web::web::{Data, Json};
use actix_web::{HttpRequest, HttpResponse, delete, get};
use jiff::Timestamp;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::extract::{Query, SessionPath};
use super::paging::Paged;
use super::problem::{ApiError, Failure};
use super::{ApiState, request};
use crate::auth::Identity;
use crate::auth::sessions::ListedSession;
use crate::protocol::error::ErrorCode;
use crate::protocol::id::SessionId;

/// A page of sessions is this long when nothing is said.
const LIST_LIMIT_DEFAULT: u32 = 50;

/// A page of sessions is at most this long.
const LIST_LIMIT_MAX: u32 = 100;

/// A session.
#[derive(Serialize, ToSchema)]
pub(super) struct SessionView {
    /// Which.
    #[schema(value_type = Uuid)]
    id: SessionId,
    /// What it was begun with, as that called itself.
    user_agent: String,
    /// When it began.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// When it was used last, give or take a minute.
    #[schema(value_type = String, format = DateTime)]
    last_seen_at: Timestamp,
    /// When it ends unless it is used.
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
    /// Whether it is the one that asks.
    current: bool,
}

/// A page of sessions.
#[derive(Serialize, ToSchema)]
pub(super) struct SessionPage {
    /// The newest first.
    sessions: Vec<SessionView>,
    /// The `after` of the next page; null: there is none.
    #[schema(value_type = Option<Uuid>)]
    next: Option<SessionId>,
}

/// Which sessions are listed. Only for the description: [`Query`] reads them.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code)]
struct ListSessions {
    /// The `next` of the page before.
    after: Option<Uuid>,
    /// At most this many.
    #[param(minimum = 1, maximum = 100, default = 50)]
    limit: Option<u32>,
}

/// How many sessions were ended.
#[derive(Serialize, ToSchema)]
pub(super) struct SessionsEnded {
    /// So many.
    ended: usize,
}

/// One's own sessions.
#[utoipa::path(
    tag = "auth",
    security(("bearer" = []), ("cookie" = [])),
    params(ListSessions),
    responses((status = 200, description = "A page of sessions", body = SessionPage), Failure)
)]
#[get("/auth/sessions")]
pub(super) async fn list_sessions(
    state: Data<ApiState>,
    who: Identity,
    query: Query,
) -> Result<Paged<SessionPage>, ApiError> {
    let limit = query.number("limit", 1..=LIST_LIMIT_MAX)?;
    let limit = limit.unwrap_or(LIST_LIMIT_DEFAULT);
    let after = query.id("after")?.map(SessionId);
    let sessions = state.auth.sessions();
    let mut found = sessions.list(who.user_id, after, limit + 1).await?;
    let next = super::cut(&mut found, limit, |session| session.id);
    let view = |session: ListedSession| SessionView {
        current: session.id == who.session_id,
        id: session.id,
        user_agent: session.user_agent,
        created_at: session.created_at,
        last_seen_at: session.last_seen_at,
        expires_at: session.expires_at,
    };
    let page = SessionPage {
        sessions: found.into_iter().map(view).collect(),
        next,
    };
    Ok(Paged::new(page, "after", next))
}

/// Ends one of one's own sessions, with all its sockets and tickets, on every node.
#[utoipa::path(
    tag = "auth",
    security(("bearer" = []), ("cookie" = [])),
    params(("id" = Uuid, Path, description = "The session")),
    responses((status = 204, description = "Ended"), Failure)
)]
#[delete("/auth/sessions/{id}")]
pub(super) async fn end_session(
    req: HttpRequest,
    state: Data<ApiState>,
    who: Identity,
    session: SessionPath,
) -> Result<HttpResponse, ApiError> {
    let is_own = session.0 == who.session_id;
    if !is_own {
        state.hub.check_control()?;
    }
    if !state.auth.sessions().end(session.0, who.user_id).await? {
        return Err(ErrorCode::SessionNotFound.into());
    }
    state.hub.end_session(session.0);
    state.hub.poke_control();
    let mut response = HttpResponse::NoContent();
    if is_own {
        let cookie = state.auth.cookie().clear(request::host(&req));
        response.insert_header((header::SET_COOKIE, cookie));
    }
    Ok(response.finish())
}

/// Ends all of one's sessions but the one that asks.
#[utoipa::path(
    tag = "auth",
    security(("bearer" = []), ("cookie" = [])),
    responses((status = 200, description = "Ended", body = SessionsEnded), Failure)
)]
#[delete("/auth/sessions")]
pub(super) async fn end_other_sessions(
    state: Data<ApiState>,
    who: Identity,
) -> Result<Json<SessionsEnded>, ApiError> {
    state.hub.check_control()?;
    let sessions = state.auth.sessions();
    let ended = sessions.end_others(who.user_id, who.session_id).await?;
    for &session in &ended {
        state.hub.end_session(session);
    }
    state.hub.poke_control();
    Ok(Json(SessionsEnded { ended: ended.len() }))
}
