//! What is done with the bytes that libFuzzer makes up. A target panics where a decoder is wrong.

mod addresses;
mod cursor;
mod data;
mod deflate;
mod engineio;
mod engineio_session;
mod envelope;
mod frames;
mod handshake;
mod json_request;
mod last_event_id;
mod log_row;
mod packed_request;
mod socketio;

/// What decodes the bytes and judges the result.
pub(crate) type Target = fn(&[u8]);

/// All targets by name; the folder of that name in `seeds` has what each begins with.
pub(crate) const TARGETS: &[(&str, Target)] = &[
    ("addresses", addresses::run),
    ("cursor", cursor::run),
    ("data_json", data::json),
    ("data_packed", data::packed),
    ("deflate", deflate::run),
    ("engineio", engineio::run),
    ("engineio_session", engineio_session::run),
    ("envelope", envelope::run),
    ("frames", frames::run),
    ("handshake", handshake::run),
    ("json_request", json_request::run),
    ("last_event_id", last_event_id::run),
    ("log_row", log_row::run),
    ("packed_request", packed_request::run),
    ("socketio_json", socketio::json),
    ("socketio_packed", socketio::packed),
];
