//! A client of `/ws` that looks at no more of a message than it must: the generator shares the
//! processor with what it measures.

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::error::LoadError;

/// An open socket.
pub(crate) struct Socket(WebSocketStream<TcpStream>);

impl Socket {
    /// Opens one, as the user of the token.
    pub(crate) async fn connect(address: &str, token: &str) -> Result<Self, LoadError> {
        let mut request = format!("ws://{address}/ws").into_client_request()?;
        let bearer = HeaderValue::from_str(&format!("Bearer {token}"))
            .map_err(|error| LoadError::Unexpected(error.to_string()))?;
        request.headers_mut().insert("authorization", bearer);
        let stream = TcpStream::connect(address)
            .await
            .map_err(LoadError::io("connecting to the node"))?;
        stream
            .set_nodelay(true)
            .map_err(LoadError::io("setting TCP_NODELAY"))?;
        let (stream, _) = client_async(request, stream).await?;
        Ok(Self(stream))
    }

    /// Joins a room from now on; skips pushes that come before the reply.
    pub(crate) async fn join(&mut self, room: &str) -> Result<(), LoadError> {
        self.join_with(&format!(r#""room":"{room}""#)).await?;
        Ok(())
    }

    /// Joins with these fields, and gives the reply.
    pub(crate) async fn join_with(&mut self, fields: &str) -> Result<String, LoadError> {
        self.ask("join", fields).await
    }

    /// Sends a command with these fields, and gives the reply; skips pushes that come before it.
    pub(crate) async fn ask(&mut self, command: &str, fields: &str) -> Result<String, LoadError> {
        let request = format!(r#"{{"id":"{command}","cmd":"{command}",{fields}}}"#);
        self.feed(request).await?;
        self.flush().await?;
        let replied = format!(r#"{{"id":"{command}","ok""#);
        loop {
            let text = self.read().await?;
            if text.starts_with(&replied) {
                return Ok(text);
            }
            if !text.starts_with(r#"{"push""#) {
                return Err(LoadError::Unexpected(text));
            }
        }
    }

    /// Puts a message among those that the next flush sends.
    pub(crate) async fn feed(&mut self, text: String) -> Result<(), LoadError> {
        Ok(self.0.feed(Message::text(text)).await?)
    }

    /// Sends what was fed.
    pub(crate) async fn flush(&mut self) -> Result<(), LoadError> {
        Ok(self.0.flush().await?)
    }

    /// The next message of text.
    pub(crate) async fn read(&mut self) -> Result<String, LoadError> {
        match self.next().await? {
            Some(text) => Ok(text),
            None => Err(LoadError::Unexpected("the node hung up".to_owned())),
        }
    }

    /// The next message of text; none when the node has closed the socket.
    pub(crate) async fn next(&mut self) -> Result<Option<String>, LoadError> {
        loop {
            match self.0.next().await {
                Some(Ok(Message::Text(text))) => return Ok(Some(text.to_string())),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(Message::Close(_))) | None => return Ok(None),
                Some(Ok(other)) => return Err(LoadError::Unexpected(format!("{other:?}"))),
                Some(Err(error)) => return Err(error.into()),
            }
        }
    }

    /// Closes it.
    pub(crate) async fn close(&mut self) {
        let _ = self.0.close(None).await;
    }
}
