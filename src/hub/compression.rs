//! Compressing what leaves: once for everybody who gets it.
//!
//! Frames are made on worker threads, each of which has one compressor for all of its connections,
//! made when the first of them wants one.

use std::cell::RefCell;

use bytes::Bytes;

use crate::config;
use crate::hub::metrics::{DEFLATE_BYTES, DEFLATED, DEFLATED_BYTES};
use crate::protocol::websocket::deflate::{Deflater, message_bytes};
use crate::protocol::websocket::sent::Sent;

/// Which frames are compressed, and how.
#[derive(Debug, Clone, Copy)]
struct Settings {
    threshold_bytes: usize,
    /// Of packets of Socket.IO.
    packet_threshold_bytes: usize,
    max_bytes: usize,
    level: u32,
}

thread_local! {
    static SETTINGS: RefCell<Option<Settings>> = const { RefCell::new(None) };
    static DEFLATER: RefCell<Option<Deflater>> = const { RefCell::new(None) };
}

/// How this thread compresses from now on. Before that it does not.
pub(crate) fn configure(config: &config::WebSocket, socketio: &config::SocketIo) {
    let settings = Settings {
        threshold_bytes: config.deflate_threshold_bytes,
        packet_threshold_bytes: socketio.per_message_deflate_threshold_bytes,
        max_bytes: config.deflate_max_bytes,
        level: config.deflate_level,
    };
    SETTINGS.set(Some(settings));
    DEFLATER.set(None);
}

/// The compressed form of a complete frame; if that is not worth it, the frame itself.
pub(crate) fn deflated(frame: &Bytes) -> Bytes {
    let settings = SETTINGS.with_borrow(|settings| *settings);
    match settings {
        Some(settings) => compressed(frame, settings, settings.threshold_bytes),
        None => frame.clone(),
    }
}

/// The compressed form of the frames of a packet of Socket.IO, of which each goes by itself.
pub(crate) fn deflated_packet(frames: &Bytes) -> Bytes {
    let Some(settings) = SETTINGS.with_borrow(|settings| *settings) else {
        return frames.clone();
    };
    let mut each = Sent::new(frames).map(|it| frames.slice_ref(it.frame));
    let compressed = |frame: &Bytes| compressed(frame, settings, settings.packet_threshold_bytes);
    match (each.next(), each.next()) {
        (Some(first), Some(second)) => {
            let mut all = compressed(&first).to_vec();
            for frame in std::iter::once(second).chain(each) {
                all.extend_from_slice(&compressed(&frame));
            }
            all.into()
        }
        _ => compressed(frames),
    }
}

fn compressed(frame: &Bytes, settings: Settings, threshold_bytes: usize) -> Bytes {
    let bytes = message_bytes(frame);
    if bytes < threshold_bytes || bytes > settings.max_bytes {
        return frame.clone();
    }
    let deflated = DEFLATER.with_borrow_mut(|deflater| {
        let deflater = deflater.get_or_insert_with(|| Deflater::new(settings.level));
        deflater.deflate(frame)
    });
    let outcome = if deflated.is_some() {
        "shorter"
    } else {
        "not_shorter"
    };
    DEFLATED.with_label_values(&[outcome]).inc();
    let deflated = deflated.unwrap_or_else(|| frame.clone());
    DEFLATE_BYTES.inc_by(frame.len() as u64);
    DEFLATED_BYTES.inc_by(deflated.len() as u64);
    deflated
}
