//! REST: a file per resource, and what they share.
//!
//! A request passes [`edge()`] (measured, logged), then the gate (who, from where, how often),
//! then its route's extractors, then the handler. Whatever fails becomes a
//! [`problem::ApiError`], and that a problem document, in one place.

mod asks;
mod asset;
mod auth;
mod bans;
mod coding;
mod conditional;
mod connections;
mod edge;
mod export;
mod extract;
mod gate;
mod idempotency;
mod invitations;
mod members;
mod message_changes;
mod messages;
mod metrics;
mod mutes;
mod openapi;
mod page;
mod paging;
mod period;
mod permalinks;
mod permits;
mod pins;
mod presence;
pub mod problem;
mod rate_limit;
mod read_markers;
mod request;
mod room_batch;
mod rooms;
mod routes;
mod sessions;
mod unread;
mod users;
mod websocket;

use std::sync::Arc;

use actix_web::middleware::from_fn;
use actix_web::web::{self, Data, ServiceConfig};

use crate::auth::Limits;
use crate::auth::accounts::Accounts;
use crate::auth::credentials::Authenticator;
use crate::cache::Cache;
use crate::config::Config;
use crate::hub::HubHandle;
use crate::peers::Peers;
use crate::store::Store;

pub use edge::edge;
pub use export::Exports;
pub use gate::public_gate;
pub use routes::Routes;

/// What the handlers work with, shared by all worker threads.
pub struct ApiState {
    /// Postgres.
    pub store: Store,
    /// Copies of what is there.
    pub cache: Cache,
    /// Everything that is an event of a room goes through the hub.
    pub hub: HubHandle,
    /// The other nodes.
    pub peers: Peers,
    /// Who asks.
    pub auth: Authenticator,
    /// Registering and logging in.
    pub accounts: Accounts,
    /// How often one may ask; the same counters as for sockets.
    pub limits: Arc<Limits>,
    /// The exports that are running.
    pub exports: Exports,
    /// The settings.
    pub config: Arc<Config>,
}

/// Registers the REST interface, `/openapi.json`, and the answers to what is not there.
///
/// `others` adds the routes that are not of this layer, such as `/health`: by it they get into
/// the description too. The `App` must be wrapped in [`edge()`] besides.
pub fn configure(
    config: &mut ServiceConfig,
    state: &Data<ApiState>,
    others: impl FnOnce(&mut Routes<'_>),
) {
    config.app_data(state.clone());
    let base = openapi::base(&state.config.auth.cookie_name);
    let mut routes = Routes::new(config, base);
    // Before the scope, which takes everything under its path that comes after it.
    others(&mut routes);
    routes.service(
        utoipa_actix_web::scope("/api")
            // Routes are tried one after the other, by regular expressions: first what is asked most. What
            // has no pattern in it goes before what it would match: a request's route is looked up by
            // the path alone.
            .service(messages::list_messages)
            .service(room_batch::read_rooms)
            .service(rooms::get_room)
            .service(messages::post_message)
            .service(members::list_members)
            .service(auth::register)
            .service(auth::login)
            .service(auth::logout)
            .service(auth::ticket)
            .service(sessions::list_sessions)
            .service(sessions::end_session)
            .service(sessions::end_other_sessions)
            .service(connections::list_connections)
            .service(connections::end_connection)
            .service(asks::ask_connection)
            .service(users::me)
            .service(users::change_profile)
            .service(users::search_users)
            .service(users::get_user)
            .service(unread::unread_summary)
            .service(rooms::create_room)
            .service(rooms::list_rooms)
            .service(rooms::change_room)
            .service(read_markers::mark_read)
            .service(read_markers::mark_all_read)
            .service(members::join_room)
            .service(members::leave_room)
            .service(members::add_member)
            .service(members::remove_member)
            .service(members::change_role)
            .service(mutes::mute_member)
            .service(mutes::unmute_member)
            .service(bans::ban_user)
            .service(bans::list_bans)
            .service(bans::unban_user)
            .service(invitations::accept_invitation)
            .service(invitations::create_invitation)
            .service(invitations::list_invitations)
            .service(invitations::revoke_invitation)
            .service(presence::room_presence)
            .service(permalinks::follow_permalink)
            .service(export::export_messages)
            .service(messages::get_message)
            .service(message_changes::edit_message)
            .service(message_changes::delete_message)
            .service(message_changes::add_reaction)
            .service(message_changes::remove_reaction)
            .service(pins::pin_message)
            .service(pins::unpin_message)
            .service(pins::list_pins)
            .wrap(from_fn(idempotency::once))
            .wrap(from_fn(coding::pack))
            .wrap(from_fn(gate::gate)),
    );
    routes.service(openapi::description);
    routes.service(page::page);
    routes.service(websocket::websocket);
    let mut document = routes.into_document();
    openapi::describe_keys(&mut document);
    config.app_data(Data::new(openapi::Document::new(document)));
    config.default_service(web::to(openapi::unrouted));
}

/// Takes off the entry too many, if it is there, and says after which one the next page begins.
fn cut<T, K>(entries: &mut Vec<T>, limit: u32, key: impl Fn(&T) -> K) -> Option<K> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    if entries.len() <= limit {
        return None;
    }
    entries.truncate(limit);
    entries.last().map(key)
}
