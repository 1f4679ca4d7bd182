//! permessage-deflate (RFC 7692) for clients, by a library that knows nothing of WebSocket.
//!
//! [`deflating`] puts it below a client that does not speak it: everything that the client sends
//! goes out compressed, and what comes compressed reaches it plain.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream};
use tokio::net::TcpStream;

use super::raw::{FIN, Frame, masked, unmasked};

/// RSV1: the message is compressed.
pub(crate) const RSV1: u8 = 0x40;

/// What a client that wants it offers, and what the hub answers.
pub(crate) const OFFER: &str = "permessage-deflate; client_max_window_bits";
pub(crate) const ACCEPTED: &str =
    "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

/// What waits between a client and the hub, each way, bytes.
const BETWEEN_BYTES: usize = 64 * 1024;

/// A message's payload, compressed.
pub(crate) fn deflate(payload: &[u8], level: u32) -> Vec<u8> {
    let mut compress = Compress::new(Compression::new(level), false);
    let mut out = Vec::with_capacity(payload.len() + payload.len() / 8 + 64);
    let done = compress.compress_vec(payload, &mut out, FlushCompress::Sync);
    done.expect("anything can be compressed");
    assert!(out.ends_with(&[0, 0, 0xff, 0xff]), "it is flushed");
    out.truncate(out.len() - 4);
    out
}

/// A message's payload as it was.
pub(crate) fn inflate(payload: &[u8]) -> Vec<u8> {
    let input = [payload, &[0, 0, 0xff, 0xff]].concat();
    let mut decompress = Decompress::new(false);
    let mut out = Vec::with_capacity(4096);
    loop {
        let taken = usize::try_from(decompress.total_in()).expect("a length");
        let done = decompress.decompress_vec(&input[taken..], &mut out, FlushDecompress::Sync);
        done.expect("the hub's streams can be inflated");
        if out.len() < out.capacity() {
            assert_eq!(decompress.total_in(), input.len() as u64, "all of it");
            return out;
        }
        out.reserve(out.len());
    }
}

/// Puts permessage-deflate between a client and the hub. The client offers it in its handshake.
pub(crate) fn deflating(hub: TcpStream) -> DuplexStream {
    let (near, far) = tokio::io::duplex(BETWEEN_BYTES);
    tokio::spawn(async move {
        let (from_client, to_client) = tokio::io::split(far);
        let (from_hub, to_hub) = hub.into_split();
        let outwards = async {
            let _ = compress(from_client, to_hub).await;
            // The client has gone; the hub's end is waited for.
            std::future::pending::<()>().await;
        };
        tokio::select! {
            _ = expand(from_hub, to_client) => {}
            () = outwards => {}
        }
    });
    near
}

async fn compress(
    mut client: impl AsyncRead + Unpin,
    mut hub: impl AsyncWrite + Unpin,
) -> std::io::Result<()> {
    let head = read_head(&mut client).await?;
    hub.write_all(&head).await?;
    while let Ok(frame) = read_frame(&mut client).await {
        // The client sends whole messages.
        let bytes = match frame.first {
            0x81 | 0x82 => masked(frame.first | RSV1, &deflate(&frame.payload, 1)),
            control => masked(control, &frame.payload),
        };
        hub.write_all(&bytes).await?;
    }
    hub.shutdown().await
}

async fn expand(
    mut hub: impl AsyncRead + Unpin,
    mut client: impl AsyncWrite + Unpin,
) -> std::io::Result<()> {
    let head = read_head(&mut hub).await?;
    client.write_all(&head).await?;
    if !head.starts_with(b"HTTP/1.1 101 ") {
        // A refusal, which is no frame.
        tokio::io::copy(&mut hub, &mut client).await?;
        return Ok(());
    }
    loop {
        let frame = read_frame(&mut hub).await?;
        let bytes = if frame.first & RSV1 == 0 {
            unmasked(frame.first, &frame.payload)
        } else {
            assert!(matches!(frame.first, 0xc1 | 0xc2), "{:x}", frame.first);
            unmasked(frame.first & !RSV1, &inflate(&frame.payload))
        };
        client.write_all(&bytes).await?;
    }
}

async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> std::io::Result<Vec<u8>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    Ok(head)
}

/// Reads a frame, masked or not.
pub(crate) async fn read_frame(stream: &mut (impl AsyncRead + Unpin)) -> std::io::Result<Frame> {
    let first = stream.read_u8().await?;
    let second = stream.read_u8().await?;
    let length = match second & 0x7f {
        126 => u64::from(stream.read_u16().await?),
        127 => stream.read_u64().await?,
        short => u64::from(short),
    };
    let mut key = [0; 4];
    if second & 0x80 != 0 {
        stream.read_exact(&mut key).await?;
    }
    let mut payload = vec![0; usize::try_from(length).expect("a length")];
    stream.read_exact(&mut payload).await?;
    for (byte, key) in payload.iter_mut().zip(key.iter().cycle()) {
        *byte ^= key;
    }
    assert_eq!(first & FIN, FIN, "neither side sends fragments");
    Ok(Frame { first, payload })
}
