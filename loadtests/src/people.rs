//! People who sign up and rooms that they are in.

use futures_util::future::try_join_all;
use serde_json::{Value, json};

use crate::error::LoadError;

/// People, and the room of each.
pub(crate) struct People {
    pub(crate) tokens: Vec<String>,
    /// Room ids; person `n` is a member of room `n % rooms.len()`.
    pub(crate) rooms: Vec<String>,
}

impl People {
    /// Signs up so many people and puts them into so many rooms.
    pub(crate) async fn gather(
        address: &str,
        people: usize,
        rooms: usize,
    ) -> Result<Self, LoadError> {
        let api = Api::new(address);
        let mut tokens = Vec::with_capacity(people);
        // A few at once: passwords are hashed with a bounded queue.
        let numbers: Vec<usize> = (0..people).collect();
        for some in numbers.chunks(16) {
            tokens.extend(try_join_all(some.iter().map(|n| api.register(*n))).await?);
        }
        let mut ids = Vec::with_capacity(rooms);
        for (n, token) in tokens.iter().enumerate().take(rooms) {
            let body = json!({ "name": format!("Room {n}"), "slug": format!("room-{n}") });
            let room = api.post("/api/rooms", Some(token), &body).await?;
            ids.push(text(&room["id"])?);
        }
        for (n, token) in tokens.iter().enumerate().skip(ids.len()) {
            let path = format!("/api/rooms/{}/join", ids[n % ids.len()]);
            api.post(&path, Some(token), &json!({})).await?;
        }
        Ok(Self { tokens, rooms: ids })
    }
}

struct Api {
    http: reqwest::Client,
    address: String,
}

impl Api {
    fn new(address: &str) -> Self {
        Self {
            http: reqwest::Client::new(),
            address: address.to_owned(),
        }
    }

    async fn register(&self, n: usize) -> Result<String, LoadError> {
        let body = json!({
            "username": format!("person{n}"),
            "email": format!("person{n}@example.org"),
            "password": "correct horse battery",
        });
        let answer = self.post("/api/auth/register", None, &body).await?;
        text(&answer["token"])
    }

    async fn post(
        &self,
        path: &str,
        token: Option<&str>,
        body: &Value,
    ) -> Result<Value, LoadError> {
        let url = format!("http://{}{path}", self.address);
        let mut request = self.http.post(url).json(body);
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        let response = request.send().await?;
        let status = response.status();
        let text = response.text().await?;
        if !status.is_success() {
            return Err(LoadError::Unexpected(format!("{path}: {status}: {text}")));
        }
        Ok(serde_json::from_str(&text).unwrap_or_default())
    }
}

fn text(value: &Value) -> Result<String, LoadError> {
    let text = value.as_str().map(str::to_owned);
    text.ok_or_else(|| LoadError::Unexpected(format!("not a text: {value}")))
}
