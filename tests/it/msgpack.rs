//! The native protocol in MessagePack, beside the same in JSON.

mod bytes;
mod hostile;
mod talk;
