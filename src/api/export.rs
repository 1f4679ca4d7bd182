//! All messages of a room, as lines of JSON, read from Postgres page by page as the client takes them.

mod turns;

use std::io::Write as _;

use actix_web::http::header;
use actix_web::web::{Bytes, Data};
use actix_web::{HttpRequest, HttpResponse, get};
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::stream::try_unfold;
use utoipa::IntoParams;

use super::ApiState;
use super::coding::Coding;
use super::extract::{Query, RoomPath};
use super::messages::SEQ_MAX;
use super::problem::{ApiError, Failure};
use super::rooms::membership;
use crate::auth::{AuthError, Identity};
use crate::protocol::command::{PageAnchor, PageRequest};
use crate::protocol::error::{ErrorCode, Refusal};
use crate::protocol::event::Seq;
use crate::protocol::id::{RoomId, RoomRef};
use crate::protocol::reply::MessagePage;
use crate::store::messages;

pub use turns::Exports;
use turns::Turn;

/// Messages read at once: a page, which is what is in memory of an export, has at most half a mebibyte
/// of bodies besides.
const PAGE: u32 = 200;

/// From where on. Only for the description: [`Query`] reads it.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code)]
struct ExportMessages {
    /// Only messages after this `seq`: the last line's, to go on where it broke off.
    after: Option<Seq>,
}

/// All messages of a room up to now, one JSON object a line, in the order in which they were said. If
/// the answer breaks off, it is not all of them: the membership has ended, or the node or its database
/// has gone. One at a time for each user.
#[utoipa::path(
    tag = "messages",
    security(("bearer" = []), ("cookie" = [])),
    params(("id" = String, Path, description = "The room's id or slug"), ExportMessages),
    responses(
        (status = 200, description = "A message a line", body = String, content_type = "application/x-ndjson"),
        Failure
    )
)]
#[get("/rooms/{id}/export")]
pub(super) async fn export_messages(
    req: HttpRequest,
    state: Data<ApiState>,
    who: Identity,
    room: RoomPath,
    query: Query,
) -> Result<HttpResponse, ApiError> {
    let after = query.number("after", 0..=SEQ_MAX)?.unwrap_or(0);
    let (access, _) = membership(&state, &room.0, who).await?;
    let most = state.config.limits.exports_per_node;
    let turn = state.exports.begin(who.user_id, most).ok_or_else(|| {
        let message = "an export of yours is running, or too many others are";
        Refusal::new(ErrorCode::Overloaded, message)
    })?;
    let wants_gzip = Coding::wanted_of(req.headers(), &[Coding::Gzip]).is_some();
    let mut response = HttpResponse::Ok();
    response
        .content_type("application/x-ndjson")
        .insert_header((header::VARY, "Accept-Encoding"))
        .insert_header((
            header::CONTENT_DISPOSITION,
            format!("attachment; filename=\"{}.ndjson\"", access.room_id),
        ));
    if wants_gzip {
        response.insert_header((header::CONTENT_ENCODING, Coding::Gzip.name()));
    }
    let export = Export {
        state,
        who,
        room: access.room_id,
        after,
        until: access.last_seq,
        packing: wants_gzip.then(|| GzEncoder::new(Vec::new(), Compression::fast())),
        _turn: turn,
    };
    Ok(response.streaming(try_unfold(Some(export), next_part)))
}

/// An export under way.
struct Export {
    state: Data<ApiState>,
    who: Identity,
    room: RoomId,
    /// The last message that was given.
    after: Seq,
    /// The head when it began: what comes later is not of it, or it might never end.
    until: Seq,
    packing: Option<GzEncoder<Vec<u8>>>,
    _turn: Turn,
}

/// The next part, and what is to come.
async fn next_part(export: Option<Export>) -> Result<Option<(Bytes, Option<Export>)>, ApiError> {
    let Some(mut export) = export else {
        return Ok(None);
    };
    let page = export.page().await.inspect_err(|error| {
        tracing::debug!(%error, room = %export.room, "an export was broken off");
    })?;
    let mut lines = Vec::new();
    for message in page.messages.iter().filter(|it| it.seq <= export.until) {
        serde_json::to_writer(&mut lines, message)
            .map_err(|_| ApiError::Internal("a message cannot be written as JSON"))?;
        lines.push(b'\n');
    }
    let is_last = match page.next {
        Some(next) if next < export.until => {
            export.after = next;
            false
        }
        _ => true,
    };
    let part = export.pack(lines, is_last)?;
    Ok(Some((part, (!is_last).then_some(export))))
}

impl Export {
    /// The next page, if it may still be read.
    async fn page(&self) -> Result<MessagePage, ApiError> {
        let sessions = self.state.auth.sessions();
        if sessions.check(self.who.session_id).await?.is_none() {
            return Err(AuthError::UnknownCredentials.into());
        }
        let room = RoomRef::Id(self.room);
        let (access, _) = membership(&self.state, &room, self.who).await?;
        let request = PageRequest {
            anchor: PageAnchor::After(self.after),
            limit: PAGE,
            thread: None,
        };
        let store = &self.state.store;
        let page = messages::page(store, self.room, access.history_floor, request).await?;
        Ok(page.ok_or(ErrorCode::RoomNotFound)?)
    }

    /// What goes out of some lines.
    fn pack(&mut self, lines: Vec<u8>, is_last: bool) -> Result<Bytes, ApiError> {
        let failed = |_| ApiError::Internal("an export cannot be compressed");
        let Some(mut packing) = self.packing.take() else {
            return Ok(lines.into());
        };
        packing.write_all(&lines).map_err(failed)?;
        if is_last {
            return Ok(packing.finish().map_err(failed)?.into());
        }
        packing.flush().map_err(failed)?;
        let packed = std::mem::take(packing.get_mut());
        self.packing = Some(packing);
        Ok(packed.into())
    }
}
