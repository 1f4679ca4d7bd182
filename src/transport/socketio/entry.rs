//! Who begins a session.

use actix_http::header;

use super::request::Asked;
use crate::auth::AuthError;
use crate::hub::engineio::{Contract, Opening};
use crate::protocol::engineio::request::HandshakeError;
use crate::protocol::socketio::recovery::takes_offsets;
use crate::transport::Transport;
use crate::transport::admission::{Caller, texts};
use crate::transport::gate::known;
use crate::transport::refusal::TransportError;

/// Lets a client in, if this node takes one more: as `/ws` does, but for what is nobody's: a cookie of a
/// session that has ended counts as none, as what is shown when the client connects to the namespace
/// is what counts.
pub(super) async fn admit(
    caller: &Caller<'_>,
    transport: &Transport,
    asked: &Asked,
    contract: Contract,
) -> Result<Opening, TransportError> {
    let seat = caller.admit_anybody(transport)?;
    let identity = match contract {
        Contract::Hub => caller.identity(transport).await?,
        // Whoever reaches it may use it, and is nobody.
        Contract::Echo | Contract::SocketIoSuite => Ok(None),
    };
    let identity = match identity {
        Ok(identity) => identity,
        Err(AuthError::UnknownCredentials) if !caller.shows_on_purpose() => None,
        Err(AuthError::UnknownCredentials | AuthError::Origin(_)) => {
            return Err(HandshakeError::Forbidden.into());
        }
        Err(error) => return Err(error.refusal().into()),
    };
    let agent = texts(caller.headers, &header::USER_AGENT).next();
    Ok(Opening {
        revision: asked.query.revision,
        address: caller.address,
        identity: identity.as_ref().map(known),
        token: asked.token.clone(),
        takes_offsets: takes_offsets(caller.query, agent),
        contract,
        keep: Box::new(seat),
    })
}
