//! `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header): a POST that is sent again under the
//! same key is carried out once, and answered as it was the first time.
//!
//! Answers are kept in Postgres by user and key. While a request is being answered its key is claimed;
//! it is carried out to its end even if the client has gone, because that client is the one who will
//! come again. What may succeed later ([`ErrorCode::retry`]) is not kept, nor what is secret or large:
//! the key is free again then. Publishes need none of that: their room's log has keys of its own, and
//! the key becomes the `client_id` ([`publish_key`]).

mod key;

use std::time::Duration;

use actix_web::body::{BoxBody, EitherBody, MessageBody};
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::web::{Bytes, Data};
use actix_web::{Error, HttpMessage as _, HttpResponse};
use sha2::{Digest as _, Sha256};

use super::ApiState;
use super::extract::read_whole;
use super::metrics::REQUEST_KEYS;
use super::problem::ApiError;
use super::request;
use crate::auth::Identity;
use crate::protocol::error::{ErrorCode, Refusal};
use crate::store::request_keys::{self, Attempt, Claimed, Keeping, Kept, Keyed};

pub(super) use key::{key_of, publish_key};

/// An attempt has its key for itself for so long, seconds: longer than any request may take. After
/// that only a node that has died can have it.
const CLAIM_S: u32 = 60;

/// A larger answer is not kept.
const ANSWER_MAX_BYTES: usize = 64 * 1024;

/// How often keeping an answer is tried, and the pause between.
const ATTEMPTS: u32 = 3;
const PAUSE: Duration = Duration::from_millis(100);

/// Stands in an answer that was given before.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// Where keys mean nothing: what makes sessions and tickets is never answered twice alike.
const SECRETS: &str = "/api/auth/";

/// What is read, not written.
const READING: &str = "/api/rooms/batch";

/// Where the room's log has keys of its own.
const PUBLISHING: &str = "/api/rooms/{id}/messages";

/// Carries out what has a key once.
pub(super) async fn once<B: MessageBody + 'static>(
    mut req: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    let key = if applies_to(&req) {
        key_of(req.headers())
    } else {
        Ok(None)
    };
    let key = match key {
        Ok(Some(key)) => key,
        Ok(None) => return Ok(next.call(req).await?.map_into_left_body()),
        Err(error) => return Ok(req.error_response(error).map_into_right_body()),
    };
    let (Some(state), Some(who)) = (
        req.app_data::<Data<ApiState>>().cloned(),
        req.extensions().get::<Identity>().copied(),
    ) else {
        // Nobody who may do anything here.
        return Ok(next.call(req).await?.map_into_left_body());
    };
    let payload = req.take_payload();
    let body = match read_whole(req.request(), payload).await {
        Ok(body) => body.freeze(),
        Err(error) => return Ok(req.error_response(error).map_into_right_body()),
    };
    let request = Request {
        fingerprint: fingerprint(&req, &body),
        state,
        who,
        key,
    };
    req.set_payload(whole(body));
    match request.claim().await {
        Ok(Claimed::Ours(attempt)) => {
            let work = async move {
                let response = next.call(req).await?;
                Ok::<_, Error>(request.keep(attempt, response).await)
            };
            actix_web::rt::spawn(work).await.unwrap_or_else(|error| {
                tracing::error!(%error, "a request with a key ended without an answer");
                Err(ApiError::Internal("a request ended without an answer").into())
            })
        }
        Ok(Claimed::Answered(kept)) => {
            REQUEST_KEYS.with_label_values(&["replayed"]).inc();
            Ok(req.into_response(replay(kept)).map_into_right_body())
        }
        Ok(refused) => {
            let error = refusal(&refused);
            Ok(req.error_response(error).map_into_right_body())
        }
        Err(error) => Ok(req.error_response(error).map_into_right_body()),
    }
}

/// Whether answers are kept here under a key.
fn applies_to(req: &ServiceRequest) -> bool {
    if req.method() != Method::POST {
        return false;
    }
    let pattern = request::route(req.request()).unwrap_or_default();
    &*pattern != PUBLISHING && makes_a_difference(&pattern)
}

/// Whether a `POST` takes notice of a key, as its description says.
pub(super) fn makes_a_difference(pattern: &str) -> bool {
    !pattern.starts_with(SECRETS) && pattern != READING
}

/// What is asked, in 32 bytes.
fn fingerprint(req: &ServiceRequest, body: &[u8]) -> [u8; 32] {
    let mut digest = Sha256::new();
    // No part can have U+0000 but the last.
    for part in [req.method().as_str(), req.path(), req.query_string()] {
        digest.update(part);
        digest.update([0]);
    }
    digest.update(body);
    digest.finalize().into()
}

/// A body that was read, to be read again.
fn whole(body: Bytes) -> Payload {
    let (_, mut payload) = actix_http::h1::Payload::create(true);
    payload.unread_data(body);
    Payload::from(payload)
}

fn replay(kept: Kept) -> HttpResponse {
    let status = StatusCode::from_u16(kept.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = HttpResponse::build(status);
    response.insert_header((REPLAYED, HeaderValue::from_static("true")));
    if let Some(content_type) = kept.content_type {
        response.content_type(content_type);
    }
    response.body(kept.body)
}

fn refusal(claimed: &Claimed) -> ApiError {
    let (outcome, code, message) = match claimed {
        Claimed::Reused => (
            "reused",
            ErrorCode::IdempotencyKeyReused,
            "this Idempotency-Key was used for another request",
        ),
        Claimed::TooMany => (
            "too_many",
            ErrorCode::TooManyKeys,
            "there are as many Idempotency-Keys of yours as are kept",
        ),
        Claimed::InProgress | Claimed::Ours(_) | Claimed::Answered(_) => (
            "in_progress",
            ErrorCode::RequestInProgress,
            "a request with this Idempotency-Key is being answered",
        ),
    };
    REQUEST_KEYS.with_label_values(&[outcome]).inc();
    Refusal::new(code, message).into()
}

/// A request with a key.
struct Request {
    state: Data<ApiState>,
    who: Identity,
    key: String,
    fingerprint: [u8; 32],
}

impl Request {
    fn keyed(&self) -> Keyed<'_> {
        Keyed {
            user_id: self.who.user_id,
            key: &self.key,
            fingerprint: &self.fingerprint,
        }
    }

    async fn claim(&self) -> Result<Claimed, ApiError> {
        let config = &self.state.config;
        let keeping = Keeping {
            claim_s: CLAIM_S,
            hours: config.retention.request_keys_hours,
            per_user: config.limits.request_keys_per_user,
        };
        let conn = self.state.store.get().await?;
        Ok(request_keys::claim(&conn, self.keyed(), keeping).await?)
    }

    /// Keeps an answer, or gives the key back.
    async fn keep<B: MessageBody + 'static>(
        &self,
        attempt: Attempt,
        response: ServiceResponse<B>,
    ) -> ServiceResponse<EitherBody<B>> {
        if !is_kept(&response) {
            self.write(attempt, None).await;
            return response.map_into_left_body();
        }
        let (req, response) = response.into_parts();
        let (head, body) = response.into_parts();
        let body = match body.try_into_bytes() {
            Ok(body) => body,
            // A stream, which nobody makes for a POST.
            Err(body) => {
                self.write(attempt, None).await;
                return ServiceResponse::new(req, head.set_body(body)).map_into_left_body();
            }
        };
        let content_type = head.headers().get(header::CONTENT_TYPE);
        let content_type = content_type.and_then(|text| text.to_str().ok());
        let kept = Kept {
            status: head.status().as_u16(),
            content_type: content_type.map(str::to_owned),
            body: body.to_vec(),
        };
        let fits = body.len() <= ANSWER_MAX_BYTES;
        self.write(attempt, fits.then_some(&kept)).await;
        ServiceResponse::new(req, head.set_body(BoxBody::new(body))).map_into_right_body()
    }

    /// Whatever becomes of it, the request was carried out: its answer is given. If this fails the key
    /// is free when its claim is over.
    async fn write(&self, attempt: Attempt, kept: Option<&Kept>) {
        for tried in 1..=ATTEMPTS {
            let written = async {
                let conn = self.state.store.get().await?;
                match kept {
                    Some(kept) => request_keys::answer(&conn, self.keyed(), attempt, kept).await,
                    None => request_keys::release(&conn, self.keyed(), attempt).await,
                }
            };
            match written.await {
                Ok(()) => break,
                Err(error) if tried == ATTEMPTS => {
                    tracing::warn!(%error, "the answer to a request with a key was not kept");
                }
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
        }
        let outcome = if kept.is_some() { "kept" } else { "released" };
        REQUEST_KEYS.with_label_values(&[outcome]).inc();
    }
}

/// Whether an answer is to be given again: not if the same request may succeed later, nor if it is
/// secret.
fn is_kept(response: &ServiceResponse<impl MessageBody>) -> bool {
    let error = response.response().error();
    let may_succeed = error.is_some_and(|error| {
        let error = error.as_error::<ApiError>();
        error.is_none_or(|error| error.code().retry())
    });
    let secret = response.headers().get(header::CACHE_CONTROL);
    let is_secret = secret.is_some_and(|value| value.as_bytes() == b"no-store");
    !may_succeed && !is_secret && !response.status().is_server_error()
}
