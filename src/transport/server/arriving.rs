//! The body of a request, on its way in.

use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll};

use actix_http::error::PayloadError;
use actix_http::{Payload, Request};
use bytes::Bytes;
use futures_util::Stream;

use super::ending::Counted;
use crate::transport::held::SocketHold;

/// A body that tells when somebody waits for more of it: the socket, which reads on for it, and who
/// waits for requests to be answered, as this one need not be waited for.
struct Arriving {
    payload: Payload,
    counted: Weak<Counted>,
    hold: SocketHold,
    is_awaited: bool,
}

/// Attends to a request's body, if it has one.
pub(super) fn attend(request: &mut Request, hold: &SocketHold, counted: &Rc<Counted>) {
    let payload = request.take_payload();
    if matches!(payload, Payload::None) {
        return;
    }
    *request.payload() = Payload::Stream {
        payload: Box::pin(Arriving {
            payload,
            counted: Rc::downgrade(counted),
            hold: hold.clone(),
            is_awaited: false,
        }),
    };
}

impl Stream for Arriving {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let part = Pin::new(&mut self.payload).poll_next(cx);
        self.await_more(part.is_pending());
        part
    }
}

impl Arriving {
    fn await_more(&mut self, is_awaited: bool) {
        if is_awaited {
            self.hold.await_body();
        } else if self.is_awaited {
            self.hold.body_came();
        }
        if self.is_awaited != is_awaited
            && let Some(counted) = self.counted.upgrade()
        {
            counted.pause(is_awaited);
        }
        self.is_awaited = is_awaited;
    }
}

impl Drop for Arriving {
    fn drop(&mut self) {
        self.await_more(false);
    }
}
