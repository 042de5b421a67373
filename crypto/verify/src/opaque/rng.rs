//! opaque-ke 4.0 speaks the random number traits of rand 0.8; everything else here speaks rand_core 0.10.

use opaque_ke::rand::{CryptoRng as OldCryptoRng, Error, RngCore};
use rand_core::CryptoRng;

/// Lends a generator of rand_core 0.10 to opaque-ke.
pub struct OpaqueRng<'a, R: CryptoRng + ?Sized>(pub &'a mut R);

impl<R: CryptoRng + ?Sized> RngCore for OpaqueRng<'_, R> {
    fn next_u32(&mut self) -> u32 {
        self.0.next_u32()
    }

    fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    fn fill_bytes(&mut self, dest: &mut [u8]) {
        self.0.fill_bytes(dest);
    }

    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), Error> {
        self.0.fill_bytes(dest);
        Ok(())
    }
}

impl<R: CryptoRng + ?Sized> OldCryptoRng for OpaqueRng<'_, R> {}
