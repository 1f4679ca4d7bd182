//! The gate before every `/api` route: who asks, from which page, how often. And a smaller one before
//! what anybody may read.
//!
//! In this order (but for those who register or log in, of whom there is only the address): an address
//! that asks too often is turned away before the database is asked who it is; then credentials are
//! looked up; a cookie's write must come from a page of ours; and the request counts for its user, or
//! for its address if it has none. A user's read that names an entity tag counts when its answer is
//! known, and not at all if that is 304: who asks whether anything is new is to be welcome.

use std::net::IpAddr;

use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, HeaderValue};
use actix_web::http::{ConnectionType, Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::web::Data;
use actix_web::{Error, HttpMessage, HttpRequest};

use super::problem::ApiError;
use super::{ApiState, rate_limit, request};
use crate::auth::{AuthError, Authenticated, Bucket, Credentials, Standing, Subject, Via};

/// The client's address, as the gate has found it.
#[derive(Clone, Copy)]
pub(super) struct ClientAddress(pub(super) IpAddr);

/// Where one registers.
const REGISTER: &str = "/api/auth/register";

/// Where one logs in.
const LOGIN: &str = "/api/auth/login";

/// What counts as publishing, when it is written to: messages, and what is done to them.
const PUBLISHING: &str = "/api/rooms/{id}/messages";

/// What is read by a body that would be too long for an address.
const READING: &str = "/api/rooms/batch";

/// Lets a request through, or answers it with the reason why not.
pub(super) async fn gate(
    req: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<EitherBody<impl MessageBody>>, Error> {
    let Some(state) = req.app_data::<Data<ApiState>>().cloned() else {
        let error = ApiError::Internal("ApiState is not registered");
        return Ok(req.error_response(error).map_into_right_body());
    };
    let Admitted {
        renewed,
        mut standing,
        due,
    } = match admit(&state, req.request()).await {
        Ok(admitted) => admitted,
        Err(error) => return Ok(req.error_response(error).map_into_right_body()),
    };
    let mut response = next.call(req).await?;
    if let Some(due) = due {
        standing = due.settle(response.status());
    }
    if let Some(cookie) = renewed {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    if let Some(standing) = standing {
        rate_limit::tell(response.headers_mut(), &standing);
    }
    finish(&state, &mut response);
    Ok(response.map_into_left_body())
}

/// The gate before what anybody may read, such as `/metrics`: no credentials are looked at, and the
/// request counts as a read of its address.
pub async fn public_gate(
    req: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<EitherBody<impl MessageBody>>, Error> {
    let taken = match req.app_data::<Data<ApiState>>() {
        Some(state) => {
            let address = request::address(req.request(), &state.config.http.trusted_proxies);
            let subject = Subject::Address(address);
            let limits = &state.limits;
            let taken = limits.take_now(Bucket::Reads, subject.clone(), address);
            taken
                .map(|()| limits.standing(Bucket::Reads, subject, address))
                .map_err(ApiError::from)
        }
        None => Err(ApiError::Internal("ApiState is not registered")),
    };
    match taken {
        Ok(standing) => {
            let mut response = next.call(req).await?;
            if let Some(standing) = standing {
                rate_limit::tell(response.headers_mut(), &standing);
            }
            Ok(response.map_into_left_body())
        }
        Err(error) => Ok(req.error_response(error).map_into_right_body()),
    }
}

/// What is said to whom was let through.
#[derive(Default)]
struct Admitted {
    /// The cookie that moves along with a session that was renewed.
    renewed: Option<HeaderValue>,
    /// How much is left to them.
    standing: Option<Standing>,
    /// What is counted when the answer is known.
    due: Option<Due>,
}

/// A read that was let through and is not counted yet. It is, if nothing becomes of it: when its client
/// goes away meanwhile, too.
struct Due {
    state: Data<ApiState>,
    user: Subject,
    address: IpAddr,
    is_free: bool,
}

impl Due {
    /// The answer is known: counts it, unless it says that nothing is new. How much is left then.
    fn settle(mut self, status: StatusCode) -> Option<Standing> {
        self.is_free = status == StatusCode::NOT_MODIFIED;
        let (state, user, address) = (self.state.clone(), self.user.clone(), self.address);
        drop(self);
        state.limits.standing(Bucket::Reads, user, address)
    }
}

impl Drop for Due {
    fn drop(&mut self) {
        if !self.is_free {
            // It was within the limit when it was let through. If others have used that up meanwhile,
            // this one counts as refused, and the next one is.
            let limits = &self.state.limits;
            let taken = limits.take_now(Bucket::Reads, self.user.clone(), self.address);
            if let Err(limited) = taken {
                tracing::debug!(%limited, "a read was let through beside others that used up its limit");
            }
        }
    }
}

/// Checks a request and notes who sends it.
async fn admit(state: &Data<ApiState>, req: &HttpRequest) -> Result<Admitted, ApiError> {
    let address = request::address(req, &state.config.http.trusted_proxies);
    req.extensions_mut().insert(ClientAddress(address));
    let pattern = request::route(req).unwrap_or_default();
    // What these do, they check and count by themselves: old credentials must not keep anybody
    // from getting new ones. But whose turn it is not need not send a body.
    let newcomer = match &*pattern {
        REGISTER => Some(Subject::Newcomer(address)),
        LOGIN => Some(Subject::Address(address)),
        _ => None,
    };
    if let Some(subject) = newcomer {
        if state
            .limits
            .check(Bucket::Logins, subject.clone(), address)
            .is_err()
        {
            // Counted among the refusals, which lead to a block.
            let limits = &state.limits;
            limits.take(Bucket::Logins, subject, address).await?;
        }
        return Ok(Admitted::default());
    }
    let bucket = bucket(req.method(), &pattern);
    let anybody = Subject::Address(address);
    state.limits.check(bucket, anybody.clone(), address)?;
    let found = match authenticate(state, req).await {
        Ok(found) => found,
        Err(error) => {
            // Guesses count for the address. A refusal by the limit goes before the error.
            if matches!(error, ApiError::Auth(AuthError::UnknownCredentials)) {
                state.limits.take(bucket, anybody, address).await?;
            }
            return Err(error);
        }
    };
    let Some((credentials, found)) = found else {
        state.limits.take(bucket, anybody.clone(), address).await?;
        return Ok(Admitted {
            standing: state.limits.standing(bucket, anybody, address),
            ..Admitted::default()
        });
    };
    let identity = found.identity;
    let user = Subject::User(identity.user_id);
    let (mut standing, mut due) = (None, None);
    let may_be_known = bucket == Bucket::Reads && req.headers().contains_key(header::IF_NONE_MATCH);
    if may_be_known && state.limits.check(bucket, user.clone(), address).is_ok() {
        due = Some(Due {
            state: state.clone(),
            user,
            address,
            is_free: false,
        });
    } else {
        state.limits.take(bucket, user.clone(), address).await?;
        standing = state.limits.standing(bucket, user, address);
    }
    req.extensions_mut().insert(identity);
    let renewed = match credentials {
        Credentials::Cookie(token) if found.renewed => {
            let cookie = state.auth.cookie();
            HeaderValue::try_from(cookie.set(&token.reveal(), request::host(req))).ok()
        }
        _ => None,
    };
    Ok(Admitted {
        renewed,
        standing,
        due,
    })
}

async fn authenticate(
    state: &ApiState,
    req: &HttpRequest,
) -> Result<Option<(Credentials, Authenticated)>, ApiError> {
    let presented = request::presented(req.headers());
    let Some(credentials) = state.auth.credentials(&presented)? else {
        return Ok(None);
    };
    // The origin first: it costs nothing, and a page elsewhere learns nothing of the session.
    if matches!(credentials, Credentials::Cookie(_)) && !is_read(req.method()) {
        check_origin(state, req)?;
    }
    let found = state.auth.authenticate(&credentials).await?;
    debug_assert!(
        found.identity.via != Via::Ticket,
        "tickets are for WebSockets"
    );
    Ok(Some((credentials, found)))
}

/// Refuses a request that a page of another origin has sent.
pub(super) fn check_origin(state: &ApiState, req: &HttpRequest) -> Result<(), ApiError> {
    let origins = state.auth.origins();
    origins
        .check(request::origin(req))
        .map_err(AuthError::from)?;
    Ok(())
}

fn bucket(method: &Method, pattern: &str) -> Bucket {
    if is_read(method) || pattern == READING {
        Bucket::Reads
    } else if pattern.starts_with(PUBLISHING) {
        Bucket::Publishes
    } else {
        Bucket::Writes
    }
}

fn is_read(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

fn finish(state: &ApiState, response: &mut ServiceResponse<impl MessageBody>) {
    let headers = response.headers_mut();
    if !headers.contains_key(header::CACHE_CONTROL) {
        let private = HeaderValue::from_static("private, no-cache");
        headers.insert(header::CACHE_CONTROL, private);
    }
    if state.hub.is_draining() {
        // The node is going: the client's next request finds another.
        let head = response.response_mut().head_mut();
        head.set_connection_type(ConnectionType::Close);
    }
}
