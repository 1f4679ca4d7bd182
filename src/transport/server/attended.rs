//! A body that knows when it has been sent, or given up, and what of it was taken.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use actix_web::body::{BodySize, MessageBody};
use bytes::Bytes;
use pin_project_lite::pin_project;

use crate::transport::held::Answering;

/// The most that is handed out at a time: whether it was taken is known of a whole part.
const PART_BYTES: usize = 32 * 1024;

pin_project! {
    /// The body of an answer.
    pub(super) struct Attended<B> {
        #[pin]
        body: B,
        rest: Bytes,
        // Dropped with it.
        answering: Option<Answering>,
    }
}

impl<B> Attended<B> {
    pub(super) fn new(body: B, answering: Option<Answering>) -> Self {
        Self {
            body,
            rest: Bytes::new(),
            answering,
        }
    }
}

impl<B: MessageBody> MessageBody for Attended<B> {
    type Error = B::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        let this = self.project();
        if let Some(answering) = this.answering {
            answering.taken();
        }
        if this.rest.is_empty() {
            match ready!(this.body.poll_next(cx)) {
                Some(Ok(part)) => *this.rest = part,
                end => return Poll::Ready(end),
            }
        }
        if let Some(answering) = this.answering {
            answering.given();
        }
        let part = this.rest.split_to(this.rest.len().min(PART_BYTES));
        Poll::Ready(Some(Ok(part)))
    }
}
