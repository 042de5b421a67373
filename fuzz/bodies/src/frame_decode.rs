//! `frame_decode`: a byte stream cut into frames, and the bodies of every list.
//!
//! Input: one byte (bit 0: after authentication; the rest: into pieces of how many bytes), then the stream.
//!
//! - However the stream is cut, the frames and the error at its end are the same.
//! - The buffer never holds more than a largest frame, a claimed length allocates nothing (R3).
//! - A frame and a body that are accepted are written again as they were read (R9).
//! - A kind belongs to one list; decoding a body allocates in proportion to its length.

use allocation_counter::measure;
use bytes::BytesMut;
use subrosa_protocol::{
    FrameDecoder, FrameError, RawFrame,
    frames::{ClientFirst, FromRelay, PreAuthRequest, Push, RelayFirst, Request, Response},
};

/// Bytes that one element of a list may take in memory for each of its bytes on the wire, twice over for a list that grew:
/// a device id is one byte there and four here, a list of empty lists is worse.
const GROWTH: usize = 64;
/// Bytes that a claim may allocate at most (R3).
const CLAIM: usize = 8 * 1024;

/// Nothing to prepare.
pub fn prepare() {}

/// One input.
pub fn run(data: &[u8]) {
    let Some((&how, stream)) = data.split_first() else { return };
    let decoder = if how & 1 == 1 { FrameDecoder::authenticated() } else { FrameDecoder::unauthenticated() };
    let piece = usize::from(how >> 1) + 1;

    let mut whole = None;
    let used = measure(|| whole = Some(read(&decoder, stream, stream.len().max(1))));
    let (frames, end) = whole.unwrap();
    if let (true, Some(FrameError::TooLarge { .. })) = (frames.is_empty(), &end) {
        assert!(used.bytes_max as usize <= CLAIM + 2 * stream.len(), "a claim allocated {}", used.bytes_max);
    }
    let (pieces, end_of_pieces) = read(&decoder, stream, piece);
    assert_eq!((&frames, &end), (&pieces, &end_of_pieces), "pieces of {piece} bytes");

    let mut again = BytesMut::new();
    for frame in &frames {
        frame.write_to(&mut again).unwrap();
        bodies(frame);
    }
    assert!(stream.starts_with(&again), "frames are written as they were read");
}

fn read(decoder: &FrameDecoder, stream: &[u8], piece: usize) -> (Vec<RawFrame>, Option<FrameError>) {
    let (mut buffer, mut frames) = (BytesMut::new(), Vec::new());
    for bytes in stream.chunks(piece) {
        buffer.extend_from_slice(bytes);
        loop {
            match decoder.next_frame(&mut buffer) {
                Ok(Some(frame)) => {
                    assert!(frame.body.len() + 11 <= decoder.max_buffer());
                    frames.push(frame);
                }
                Ok(None) => break,
                Err(error) => return (frames, Some(error)),
            }
        }
        assert!(buffer.len() <= decoder.max_buffer() + piece, "more than a frame waits");
        assert!(buffer.capacity() <= 2 * (decoder.max_buffer() + piece) + 64, "{}", buffer.capacity());
    }
    (frames, None)
}

macro_rules! understand {
    ($frame:expr, $list:ty) => {{
        let frame: &RawFrame = $frame;
        let mut understood = None;
        let used = measure(|| understood = Some(<$list>::from_raw(frame)));
        let most = GROWTH * frame.body.len() + 1024;
        assert!(
            used.bytes_max as usize <= most,
            "{} bytes for a body of {}",
            used.bytes_max,
            frame.body.len()
        );
        match understood.unwrap() {
            Ok(body) => {
                let again = body.to_raw(frame.id).unwrap();
                assert_eq!((again.kind, again.id, &again.body), (frame.kind, frame.id, &frame.body));
                assert!(<$list>::KINDS.contains(&(frame.kind, body.name())));
                true
            }
            Err(FrameError::UnknownKind { kind, optional }) => {
                assert_eq!((kind, optional), (frame.kind, frame.is_optional()));
                assert!(!<$list>::KINDS.iter().any(|(known, _)| *known == kind));
                false
            }
            Err(FrameError::Body { kind, .. }) => {
                assert_eq!(kind, frame.kind);
                true
            }
            Err(other) => panic!("a body cannot be {other:?}"),
        }
    }};
}

fn bodies(frame: &RawFrame) {
    let from_clients =
        [understand!(frame, ClientFirst), understand!(frame, PreAuthRequest), understand!(frame, Request)];
    let from_relays = [understand!(frame, Response), understand!(frame, Push)];
    let lists = from_clients.iter().chain(&from_relays).filter(|known| **known).count();
    let first = understand!(frame, RelayFirst);
    assert!(lists <= 1 && (!first || frame.kind == 0x8000 || lists == 0), "kind {:#06x}", frame.kind);
    match FromRelay::from_raw(frame) {
        Ok(FromRelay::Response(id, _)) => assert!(id == frame.id && from_relays[0]),
        Ok(FromRelay::Push(_)) => assert!(from_relays[1]),
        Ok(FromRelay::Skipped(kind)) => {
            assert!(kind == frame.kind && frame.is_optional() && !from_relays.contains(&true));
        }
        Err(_) => {}
    }
}
