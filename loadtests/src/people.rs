//! People who sign up and rooms that they are in.

use futures_util::future::try_join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::error::LoadError;

const PASSWORD: &str = "correct horse battery";

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

/// The REST side of a node.
pub(crate) struct Api {
    http: reqwest::Client,
    address: String,
}

impl Api {
    pub(crate) fn new(address: &str) -> Self {
        Self {
            http: reqwest::Client::new(),
            address: address.to_owned(),
        }
    }

    async fn register(&self, n: usize) -> Result<String, LoadError> {
        let body = json!({
            "username": format!("person{n}"),
            "email": format!("person{n}@example.org"),
            "password": PASSWORD,
        });
        let answer = self.post("/api/auth/register", None, &body).await?;
        text(&answer["token"])
    }

    /// Opens another session of a person.
    pub(crate) async fn login(&self, n: usize) -> Result<String, LoadError> {
        let body = json!({ "login": format!("person{n}"), "password": PASSWORD });
        let answer = self.post("/api/auth/login", None, &body).await?;
        text(&answer["token"])
    }

    pub(crate) async fn post(
        &self,
        path: &str,
        token: Option<&str>,
        body: &Value,
    ) -> Result<Value, LoadError> {
        self.send(Method::POST, path, token, Some(body)).await
    }

    pub(crate) async fn get(&self, path: &str, token: &str) -> Result<Value, LoadError> {
        self.send(Method::GET, path, Some(token), None).await
    }

    pub(crate) async fn delete(&self, path: &str, token: &str) -> Result<Value, LoadError> {
        self.send(Method::DELETE, path, Some(token), None).await
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        token: Option<&str>,
        body: Option<&Value>,
    ) -> Result<Value, LoadError> {
        let url = format!("http://{}{path}", self.address);
        let mut request = self.http.request(method, url);
        if let Some(body) = body {
            request = request.json(body);
        }
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

pub(crate) fn text(value: &Value) -> Result<String, LoadError> {
    let text = value.as_str().map(str::to_owned);
    text.ok_or_else(|| LoadError::Unexpected(format!("not a text: {value}")))
}
