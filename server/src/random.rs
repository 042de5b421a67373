//! The operating system's randomness.

use rand_core::UnwrapErr;

/// A generator for keys and nonces. Where the operating system has no randomness there is no safe way on: the
/// connection that asked ends.
pub(crate) fn rng() -> UnwrapErr<getrandom::SysRng> {
    UnwrapErr(getrandom::SysRng)
}

/// Fresh random bytes.
pub(crate) fn bytes<const N: usize>() -> [u8; N] {
    use rand_core::Rng;
    let mut bytes = [0; N];
    rng().fill_bytes(&mut bytes);
    bytes
}
