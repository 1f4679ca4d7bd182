//! A body that knows when it has been sent, or given up.

use std::pin::Pin;
use std::task::{Context, Poll};

use actix_web::body::{BodySize, MessageBody};
use bytes::Bytes;
use pin_project_lite::pin_project;

pin_project! {
    /// A body, and what is dropped together with it.
    pub(super) struct Attended<B, G> {
        #[pin]
        body: B,
        guard: G,
    }
}

impl<B, G> Attended<B, G> {
    pub(super) fn new(body: B, guard: G) -> Self {
        Self { body, guard }
    }
}

impl<B: MessageBody, G> MessageBody for Attended<B, G> {
    type Error = B::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        self.project().body.poll_next(cx)
    }
}
