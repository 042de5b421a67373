//! Version and feature negotiation: the newest version both speak, the features both have.

/// The oldest protocol version this crate speaks.
pub const MIN_VERSION: u16 = 1;
/// The newest protocol version this crate speaks.
pub const MAX_VERSION: u16 = 1;
/// The feature bits this crate knows. Version 1 defines none; unknown bits are ignored.
pub const FEATURES: u64 = 0;
/// The ALPN protocol name (R1).
pub const ALPN: &[u8] = b"rosa/1";
/// The label of the TLS exporter value that device proofs cover; its context is empty, its length 32 bytes.
pub const EXPORTER_LABEL: &[u8] = b"EXPORTER-subrosa-channel-binding";

/// There is no version that both speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no protocol version in common: here {MIN_VERSION} to {MAX_VERSION}, there {min} to {max}")]
pub struct NoCommonVersion {
    /// The peer's oldest.
    pub min: u16,
    /// The peer's newest.
    pub max: u16,
}

/// Chooses the version to speak with a peer that speaks `min..=max`.
///
/// # Errors
/// [`NoCommonVersion`] when the ranges do not meet or the peer's is empty.
pub fn negotiate(min: u16, max: u16) -> Result<u16, NoCommonVersion> {
    let version = max.min(MAX_VERSION);
    if min <= max && version >= min && version >= MIN_VERSION {
        Ok(version)
    } else {
        Err(NoCommonVersion { min, max })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r9_ranges_that_do_not_meet_are_a_typed_error() {
        assert_eq!(negotiate(1, 1), Ok(1));
        assert_eq!(negotiate(1, 9), Ok(MAX_VERSION));
        assert_eq!(negotiate(0, 1), Ok(1));
        assert!(negotiate(2, 9).is_err());
        assert!(negotiate(0, 0).is_err());
        assert!(negotiate(9, 1).is_err());
    }
}
