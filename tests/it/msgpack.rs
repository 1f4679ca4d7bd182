//! The native protocol in MessagePack, beside the same in JSON.

mod hostile;
mod talk;
