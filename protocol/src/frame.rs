//! One protocol message on a stream, before its body is understood.
//!
//! ```text
//! length u32 LE | kind u16 LE | flags u8 | id u32 LE | body (length - 7 bytes)
//! ```
//!
//! `length` counts everything after itself and is checked against the connection's limit before a byte of the frame is
//! buffered (R3). `id` ties a response to its request and is 0 for pushes and hellos.

use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::{
    codec::CodecError,
    limits::{FRAME_HEADER, FRAME_MAX, FRAME_MAX_UNAUTHENTICATED, FRAME_PREFIX, HALF_FRAME_RATE},
};

/// Flag bit 0: a receiver that does not know the kind skips the frame and goes on.
pub const FLAG_OPTIONAL: u8 = 1;

/// A frame with its header read and its body still in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawFrame {
    /// What the body is; see [`crate::frames`].
    pub kind: u16,
    /// [`FLAG_OPTIONAL`] or 0; other bits are refused.
    pub flags: u8,
    /// The request this frame is, or answers; 0 for pushes and hellos.
    pub id: u32,
    /// The encoded body.
    pub body: Bytes,
}

/// Why a stream could not be read as frames, or a frame not be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The claimed length exceeds the limit of this connection's state. The connection ends.
    #[error("frame of {len} bytes exceeds the limit of {max}")]
    TooLarge {
        /// Claimed bytes.
        len: usize,
        /// Allowed bytes.
        max: usize,
    },
    /// The length is too small for a header. The connection ends.
    #[error("frame of {0} bytes is shorter than its header")]
    TooShort(usize),
    /// A flag bit that version 1 does not define. The connection ends.
    #[error("undefined flags {0:#04x}")]
    Flags(u8),
    /// The kind is not known, or not allowed in this state. Optional frames are skipped, others refused.
    #[error("frame kind {kind:#06x} is not known or not allowed here")]
    UnknownKind {
        /// The kind.
        kind: u16,
        /// Whether the sender marked it as skippable.
        optional: bool,
    },
    /// The body is not what its kind says.
    #[error("frame kind {kind:#06x}: {source}")]
    Body {
        /// The kind.
        kind: u16,
        /// What is wrong with it.
        source: CodecError,
    },
}

impl RawFrame {
    /// Appends the frame in wire form.
    ///
    /// # Errors
    /// [`FrameError::TooLarge`] when it exceeds [`FRAME_MAX`]; nothing is appended then.
    pub fn write_to(&self, out: &mut BytesMut) -> Result<(), FrameError> {
        let len = FRAME_HEADER + self.body.len();
        if len > FRAME_MAX {
            return Err(FrameError::TooLarge { len, max: FRAME_MAX });
        }
        out.reserve(FRAME_PREFIX + len);
        out.put_u32_le(u32::try_from(len).unwrap_or(u32::MAX));
        out.put_u16_le(self.kind);
        out.put_u8(self.flags);
        out.put_u32_le(self.id);
        out.put_slice(&self.body);
        Ok(())
    }

    /// Whether a receiver that does not know the kind may skip it.
    #[must_use]
    pub const fn is_optional(&self) -> bool {
        self.flags & FLAG_OPTIONAL != 0
    }
}

/// Appends a frame in wire form with a body that `encode` appends in its place: the same bytes as a [`RawFrame`] of it,
/// without the copies. Nothing is appended on an error.
pub(crate) fn write(
    (kind, flags, id): (u16, u8, u32),
    out: &mut BytesMut,
    encode: impl FnOnce(&mut BytesMut) -> Result<(), CodecError>,
) -> Result<(), FrameError> {
    let start = out.len();
    out.put_u32_le(0);
    out.put_u16_le(kind);
    out.put_u8(flags);
    out.put_u32_le(id);
    let encoded = encode(out).map_err(|source| FrameError::Body { kind, source });
    let len = out.len().saturating_sub(start + FRAME_PREFIX);
    let fits = if len > FRAME_MAX { Err(FrameError::TooLarge { len, max: FRAME_MAX }) } else { Ok(()) };
    let written = encoded.and(fits);
    match out.get_mut(start..start + FRAME_PREFIX) {
        Some(prefix) if written.is_ok() => {
            prefix.copy_from_slice(&u32::try_from(len).unwrap_or(u32::MAX).to_le_bytes());
        }
        _ => out.truncate(start),
    }
    written
}

/// Cuts a byte stream into frames. It holds no bytes itself: the caller's buffer does, and it never needs to hold more
/// than [`FrameDecoder::max_buffer`] bytes.
#[derive(Debug, Clone)]
pub struct FrameDecoder {
    max: usize,
}

impl FrameDecoder {
    /// For a connection that has not authenticated yet: frames of at most 8 KiB.
    #[must_use]
    pub const fn unauthenticated() -> Self {
        Self { max: FRAME_MAX_UNAUTHENTICATED }
    }

    /// For an authenticated connection, and for whatever a client reads from its relay: frames of at most 72 KiB.
    #[must_use]
    pub const fn authenticated() -> Self {
        Self { max: FRAME_MAX }
    }

    /// Bytes of the largest frame with its prefix.
    #[must_use]
    pub const fn max_buffer(&self) -> usize {
        self.max + FRAME_PREFIX
    }

    /// Takes the next whole frame off the buffer; `None` when more bytes are needed.
    ///
    /// # Errors
    /// [`FrameError::TooLarge`], [`FrameError::TooShort`] and [`FrameError::Flags`]: the stream cannot be read on.
    pub fn next_frame(&self, buffer: &mut BytesMut) -> Result<Option<RawFrame>, FrameError> {
        let Some(prefix) = buffer.first_chunk::<FRAME_PREFIX>() else { return Ok(None) };
        let len = usize::try_from(u32::from_le_bytes(*prefix)).unwrap_or(usize::MAX);
        if len > self.max {
            return Err(FrameError::TooLarge { len, max: self.max });
        }
        if len < FRAME_HEADER {
            return Err(FrameError::TooShort(len));
        }
        if buffer.len() < FRAME_PREFIX + len {
            buffer.reserve(FRAME_PREFIX + len - buffer.len());
            return Ok(None);
        }
        buffer.advance(FRAME_PREFIX);
        let mut frame = buffer.split_to(len).freeze();
        let kind = frame.get_u16_le();
        let flags = frame.get_u8();
        let id = frame.get_u32_le();
        if flags & !FLAG_OPTIONAL != 0 {
            return Err(FrameError::Flags(flags));
        }
        Ok(Some(RawFrame { kind, flags, id, body: frame }))
    }
}

/// How much longer a frame may take of which this many bytes are here (R6): a second for each [`HALF_FRAME_RATE`].
#[must_use]
pub const fn time_earned(bytes: usize) -> Duration {
    Duration::from_secs((bytes / HALF_FRAME_RATE) as u64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(body: &'static [u8]) -> RawFrame {
        RawFrame { kind: 0x30, flags: 0, id: 5, body: Bytes::from_static(body) }
    }

    #[test]
    fn golden_layout() {
        let mut out = BytesMut::new();
        frame(b"xyz").write_to(&mut out).unwrap();
        assert_eq!(&out[..], b"\x0a\0\0\0\x30\0\0\x05\0\0\0xyz");
    }

    #[test]
    fn r3_a_claimed_4_gib_is_refused_before_allocation() {
        let mut buffer = BytesMut::from(&b"\xff\xff\xff\xff"[..]);
        let before = buffer.capacity();
        let error = FrameDecoder::authenticated().next_frame(&mut buffer).unwrap_err();
        assert!(matches!(error, FrameError::TooLarge { max: FRAME_MAX, .. }));
        assert!(buffer.capacity() <= before.max(8 * 1024));
    }

    #[test]
    fn r3_limits_differ_by_state() {
        let claim = |len: usize| BytesMut::from(&u32::try_from(len).unwrap().to_le_bytes()[..]);
        let before = FrameDecoder::unauthenticated();
        assert!(before.next_frame(&mut claim(FRAME_MAX_UNAUTHENTICATED)).unwrap().is_none());
        assert!(before.next_frame(&mut claim(FRAME_MAX_UNAUTHENTICATED + 1)).is_err());
        let after = FrameDecoder::authenticated();
        assert!(after.next_frame(&mut claim(FRAME_MAX)).unwrap().is_none());
        assert!(after.next_frame(&mut claim(FRAME_MAX + 1)).is_err());
        assert!(after.next_frame(&mut claim(FRAME_HEADER - 1)).is_err());
        let body = Bytes::from(vec![0; FRAME_MAX]);
        let whole = RawFrame { kind: 1, flags: 0, id: 0, body };
        assert!(whole.write_to(&mut BytesMut::new()).is_err());
    }

    #[test]
    fn r6_what_is_here_of_a_frame_earns_it_time() {
        assert_eq!(time_earned(HALF_FRAME_RATE - 1), Duration::ZERO);
        assert_eq!(time_earned(HALF_FRAME_RATE), Duration::from_secs(1));
        assert_eq!(time_earned(FRAME_MAX), Duration::from_secs(36));
    }

    #[test]
    fn undefined_flags_end_the_stream() {
        let mut buffer = BytesMut::from(&b"\x07\0\0\0\x30\0\x02\0\0\0\0"[..]);
        assert_eq!(FrameDecoder::authenticated().next_frame(&mut buffer), Err(FrameError::Flags(2)));
    }

    proptest! {
        #[test]
        fn any_split_of_the_stream_gives_the_same_frames(cuts in proptest::collection::vec(1usize..9, 1..40)) {
            let mut stream = BytesMut::new();
            let sent: Vec<_> = [&b"a"[..], b"", b"0123456789"].iter().map(|b| {
                RawFrame { kind: 7, flags: FLAG_OPTIONAL, id: 9, body: Bytes::copy_from_slice(b) }
            }).collect();
            for frame in &sent {
                frame.write_to(&mut stream).unwrap();
            }
            let (mut buffer, mut got, decoder) = (BytesMut::new(), Vec::new(), FrameDecoder::unauthenticated());
            for cut in cuts.into_iter().chain(std::iter::repeat(5)) {
                if stream.is_empty() { break; }
                buffer.extend_from_slice(&stream.split_to(cut.min(stream.len())));
                while let Some(frame) = decoder.next_frame(&mut buffer).unwrap() { got.push(frame); }
            }
            prop_assert_eq!(got, sent);
        }

        #[test]
        fn r9_garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut buffer = BytesMut::from(&bytes[..]);
            while let Ok(Some(_)) = FrameDecoder::unauthenticated().next_frame(&mut buffer) {}
        }
    }
}
