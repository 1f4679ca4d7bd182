//! A client of the REST side.

use reqwest::header::HeaderMap;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use super::node::Node;

/// Every test user's password.
pub(crate) const PASSWORD: &str = "correct horse battery";

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text)
            .unwrap_or_else(|error| panic!("{error} in the answer {self:?}"))
    }

    /// The body of a good answer.
    #[track_caller]
    pub(crate) fn ok(&self) -> Value {
        assert!((200..300).contains(&self.status), "{self:?}");
        if self.text.is_empty() {
            Value::Null
        } else {
            self.json()
        }
    }

    /// A header, as text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Asserts that it is a problem in the form that is promised, with this status and code.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16, code: &str) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json"),
            "{self:?}"
        );
        let body = self.json();
        assert_eq!(body["code"], code, "{self:?}");
        assert_eq!(body["status"], status, "{self:?}");
        body
    }
}

/// Sends a request and reads the answer.
pub(crate) async fn send(request: RequestBuilder) -> Answer {
    try_send(request).await.expect("the node answers")
}

/// Sends a request; an error if no whole answer comes.
pub(crate) async fn try_send(request: RequestBuilder) -> Result<Answer, reqwest::Error> {
    let response = request.send().await?;
    Ok(Answer {
        status: response.status().as_u16(),
        headers: response.headers().clone(),
        text: response.text().await?,
    })
}

/// A client without credentials.
pub(crate) fn http() -> reqwest::Client {
    reqwest::Client::builder()
        .timeout(super::DEADLINE)
        .build()
        .expect("a client can be built")
}

/// Somebody who has signed up, with the token of a session.
#[derive(Clone, Debug)]
pub(crate) struct User {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) token: String,
    /// The session cookie, as `name=value`.
    pub(crate) cookie: String,
    http: reqwest::Client,
    address: String,
}

/// A room as its creator sees it.
#[derive(Clone, Debug)]
pub(crate) struct Room {
    pub(crate) id: String,
    pub(crate) slug: String,
    pub(crate) epoch: i64,
}

/// The body of a registration.
pub(crate) fn registration(name: &str) -> Value {
    json!({
        "username": name,
        "email": format!("{name}@example.org"),
        "password": PASSWORD,
    })
}

/// Signs somebody up.
pub(crate) async fn register(node: &Node, name: &str) -> User {
    register_at(&node.address, name).await
}

/// Signs somebody up at an address, of a node or of a proxy before some.
pub(crate) async fn register_at(address: &str, name: &str) -> User {
    let request = http().post(format!("http://{address}/api/auth/register"));
    let answer = send(request.json(&registration(name))).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    user_of(address, name, &answer)
}

/// Logs somebody in who has signed up: another session of the same user.
pub(crate) async fn login(node: &Node, name: &str) -> User {
    let request = http().post(node.url("/api/auth/login"));
    let body = json!({ "login": name, "password": PASSWORD });
    user_of(&node.address, name, &send(request.json(&body)).await)
}

/// The user of an answer to a registration or login.
pub(crate) fn user_of(address: &str, name: &str, answer: &Answer) -> User {
    let body = answer.ok();
    let cookie = answer.header("set-cookie").expect("a session cookie");
    User {
        id: text(&body["user"]["id"]),
        name: name.to_owned(),
        token: text(&body["token"]),
        cookie: cookie.split(';').next().unwrap_or_default().to_owned(),
        http: http(),
        address: address.to_owned(),
    }
}

/// The room of an answer that shows one.
pub(crate) fn room_of(answer: &Answer) -> Room {
    let room = answer.ok();
    Room {
        id: text(&room["id"]),
        slug: text(&room["slug"]),
        epoch: room["epoch"].as_i64().expect("an epoch"),
    }
}

impl User {
    /// The same user, talking to another node, or to the same one after a restart.
    pub(crate) fn at(&self, node: &Node) -> Self {
        Self {
            address: node.address.clone(),
            ..self.clone()
        }
    }

    /// An address of the node.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// A request with the bearer token.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http
            .request(method, self.url(path))
            .bearer_auth(&self.token)
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        send(self.request(Method::GET, path)).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        send(self.request(Method::POST, path).json(body)).await
    }

    pub(crate) async fn patch(&self, path: &str, body: &Value) -> Answer {
        send(self.request(Method::PATCH, path).json(body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        send(self.request(Method::DELETE, path)).await
    }

    /// Makes a public room.
    pub(crate) async fn create_room(&self, name: &str) -> Room {
        self.create_room_with(&json!({ "name": name, "slug": name }))
            .await
    }

    pub(crate) async fn create_room_with(&self, body: &Value) -> Room {
        let answer = self.post("/api/rooms", body).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        room_of(&answer)
    }

    /// Becomes a member of a public room.
    pub(crate) async fn join_room(&self, room: &Room) {
        self.post(&format!("/api/rooms/{}/join", room.id), &json!({}))
            .await
            .ok();
    }

    /// Posts a message over REST.
    pub(crate) async fn say(&self, room: &str, body: &str, client_id: &str) -> Answer {
        self.post(
            &format!("/api/rooms/{room}/messages"),
            &json!({ "body": body, "client_id": client_id }),
        )
        .await
    }

    /// A page of history; `query` such as `?after=3`.
    pub(crate) async fn page(&self, room: &str, query: &str) -> Value {
        self.get(&format!("/api/rooms/{room}/messages{query}"))
            .await
            .ok()
    }

    /// The whole history, page by page from the beginning.
    pub(crate) async fn history(&self, room: &str) -> Vec<Value> {
        let mut messages = Vec::new();
        let mut after = 0;
        loop {
            let page = self.page(room, &format!("?after={after}&limit=100")).await;
            messages.extend(page["messages"].as_array().expect("messages").clone());
            match page["next"].as_u64() {
                Some(next) => {
                    assert!(next > after, "pages go on: {page}");
                    after = next;
                }
                None => return messages,
            }
        }
    }

    /// A ticket for a WebSocket.
    pub(crate) async fn ticket(&self) -> String {
        let answer = self.post("/api/auth/ticket", &json!({})).await;
        text(&answer.ok()["ticket"])
    }
}

/// A value that must be a text.
#[track_caller]
pub(crate) fn text(value: &Value) -> String {
    let text = value.as_str();
    text.unwrap_or_else(|| panic!("not a text: {value}"))
        .to_owned()
}
