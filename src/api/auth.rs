//! Registering, logging in and out, and tickets for sockets.

use actix_web::http::header;
use actix_web::web::{Data, ReqData};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, post};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::extract::{Body, Checks};
use super::gate::{ClientAddress, check_origin};
use super::problem::{ApiError, Failure};
use super::users::OwnUser;
use super::{ApiState, request};
use crate::auth::accounts::{Attempt, Registration};
use crate::auth::registration::{check_display_name, check_email, check_password, check_username};
use crate::auth::sessions::NewSession;
use crate::auth::token::Token;
use crate::auth::{AuthError, Identity};
use crate::protocol::text::check_body;
use crate::store::users::User;

/// A login is at most this long, bytes: as long as the longest e-mail address.
const LOGIN_MAX_BYTES: usize = 254;

/// What somebody registers with.
#[derive(Deserialize, ToSchema)]
pub(super) struct RegisterRequest {
    /// Unique whatever its case; 2 to 32 letters a to z, digits, `_`, `.` and `-`.
    #[schema(min_length = 2, max_length = 32)]
    username: String,
    /// Unique whatever its case.
    #[schema(min_length = 5, max_length = 254)]
    email: String,
    /// 8 characters or more, as configured.
    #[schema(min_length = 8, format = Password)]
    password: String,
    /// What others see; the username if absent.
    #[schema(min_length = 1, max_length = 80)]
    display_name: Option<String>,
}

/// What somebody logs in with.
#[derive(Deserialize, ToSchema)]
pub(super) struct LoginRequest {
    /// The username or the e-mail address.
    #[schema(min_length = 1)]
    login: String,
    /// The password.
    #[schema(min_length = 1, format = Password)]
    password: String,
}

/// A session has begun. It comes as a cookie too, for browsers.
#[derive(Serialize, ToSchema)]
pub(super) struct SessionBegun {
    /// Oneself.
    user: OwnUser,
    /// For `Authorization: Bearer`; shown this once.
    token: String,
    /// When the session ends unless it is used.
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
}

/// A ticket for `/ws?ticket=…`.
#[derive(Serialize, ToSchema)]
pub(super) struct TicketGiven {
    /// Good once.
    ticket: String,
    /// How long it is good, seconds.
    expires_in: u64,
}

/// Registers a user and begins a session.
#[utoipa::path(
    tag = "auth",
    request_body = RegisterRequest,
    responses((status = 201, description = "Registered", body = SessionBegun), Failure)
)]
#[post("/auth/register")]
pub(super) async fn register(
    req: HttpRequest,
    state: Data<ApiState>,
    address: ReqData<ClientAddress>,
    body: Body<RegisterRequest>,
) -> Result<HttpResponse, ApiError> {
    let Body(RegisterRequest {
        username,
        email,
        password,
        display_name,
    }) = body;
    let mut checks = Checks::default();
    let rules = &state.config.auth;
    checks.field("username", check_username(&username));
    checks.field("email", check_email(&email));
    let password_rule = check_password(
        &password,
        rules.password_min_chars,
        rules.password_max_bytes,
    );
    checks.field("password", password_rule);
    if let Some(display_name) = &display_name {
        checks.field("display_name", check_display_name(display_name));
    }
    checks.finish()?;
    // It sets a cookie, and ends the session of the old one: not for pages of other origins.
    check_origin(&state, &req)?;
    let old = old_token(&state, &req);
    let registration = Registration {
        display_name: display_name.unwrap_or_else(|| username.clone()),
        username,
        email,
        password,
    };
    let attempt = attempt(&req, &address, old.as_ref());
    let begun = state
        .accounts
        .register(&state.limits, registration, attempt)
        .await;
    // Also when the answer was lost: they may be there.
    state.cache.users_added();
    let begun = begun?;
    Ok(answer(&state, &req, HttpResponse::Created(), begun))
}

/// Begins a session, and ends the one that the browser's cookie still stands for.
#[utoipa::path(
    tag = "auth",
    request_body = LoginRequest,
    responses((status = 200, description = "Logged in", body = SessionBegun), Failure)
)]
#[post("/auth/login")]
pub(super) async fn login(
    req: HttpRequest,
    state: Data<ApiState>,
    address: ReqData<ClientAddress>,
    body: Body<LoginRequest>,
) -> Result<HttpResponse, ApiError> {
    let Body(LoginRequest { login, password }) = body;
    let mut checks = Checks::default();
    checks.field("login", check_body(&login, LOGIN_MAX_BYTES));
    let password_max = state.config.auth.password_max_bytes;
    checks.field("password", check_body(&password, password_max));
    checks.finish()?;
    // It sets a cookie, and ends the session of the old one: not for pages of other origins.
    check_origin(&state, &req)?;
    let old = old_token(&state, &req);
    let attempt = attempt(&req, &address, old.as_ref());
    let begun = state
        .accounts
        .login(&state.limits, &login, password, attempt)
        .await?;
    Ok(answer(&state, &req, HttpResponse::Ok(), begun))
}

/// Ends the session, with all its sockets and tickets.
#[utoipa::path(
    tag = "auth",
    security(("bearer" = []), ("cookie" = [])),
    responses((status = 204, description = "Logged out"), Failure)
)]
#[post("/auth/logout")]
pub(super) async fn logout(
    req: HttpRequest,
    state: Data<ApiState>,
    who: Identity,
) -> Result<HttpResponse, ApiError> {
    state
        .auth
        .sessions()
        .end(who.session_id, who.user_id)
        .await?;
    state.hub.end_session(who.session_id);
    state.hub.poke_control();
    let cookie = state.auth.cookie().clear(request::host(&req));
    Ok(HttpResponse::NoContent()
        .insert_header((header::SET_COOKIE, cookie))
        .finish())
}

/// A ticket, for a page that opens a WebSocket and cannot set its headers.
#[utoipa::path(
    tag = "auth",
    security(("bearer" = []), ("cookie" = [])),
    responses((status = 200, description = "A ticket", body = TicketGiven), Failure)
)]
#[post("/auth/ticket")]
pub(super) async fn ticket(state: Data<ApiState>, who: Identity) -> Result<HttpResponse, ApiError> {
    let tickets = state.auth.tickets();
    let ticket = tickets.give(who).map_err(AuthError::from)?;
    Ok(HttpResponse::Ok()
        .insert_header(NO_STORE)
        .json(TicketGiven {
            ticket: ticket.reveal(),
            expires_in: tickets.ttl().as_secs(),
        }))
}

/// Secrets are in these answers.
const NO_STORE: (header::HeaderName, &str) = (header::CACHE_CONTROL, "no-store");

fn old_token(state: &ApiState, req: &HttpRequest) -> Option<Token> {
    let cookies = request::presented(req.headers()).cookies;
    state.auth.cookie().find(cookies).and_then(Token::parse)
}

fn attempt<'a>(
    req: &'a HttpRequest,
    address: &ClientAddress,
    replaces: Option<&'a Token>,
) -> Attempt<'a> {
    Attempt {
        address: address.0,
        user_agent: request::text(req.headers(), header::USER_AGENT).unwrap_or(""),
        replaces,
    }
}

fn answer(
    state: &ApiState,
    req: &HttpRequest,
    mut response: HttpResponseBuilder,
    (user, session): (User, NewSession),
) -> HttpResponse {
    if let Some(old) = session.replaces {
        state.hub.end_session(old);
        state.hub.poke_control();
    }
    let token = session.token.reveal();
    let cookie = state.auth.cookie().set(&token, request::host(req));
    response
        .insert_header((header::SET_COOKIE, cookie))
        .insert_header(NO_STORE)
        .json(SessionBegun {
            user: user.into(),
            token,
            expires_at: session.expires_at,
        })
}
