//! A seeded generator for tests: SHA-256 in counter mode, so that golden bytes do not depend on another crate's version.

use std::convert::Infallible;

use rand_core::{TryCryptoRng, TryRng};
use sha2::{Digest, Sha256};

/// The same seed gives the same bytes, for ever.
pub(crate) struct TestRng {
    seed: u64,
    counter: u64,
    ready: Vec<u8>,
}

impl TestRng {
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed, counter: 0, ready: Vec::new() }
    }
}

impl TryRng for TestRng {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, dst: &mut [u8]) -> Result<(), Infallible> {
        for byte in dst {
            if self.ready.is_empty() {
                let block = [self.seed.to_le_bytes(), self.counter.to_le_bytes()].concat();
                self.ready = Sha256::digest(block).to_vec();
                self.counter += 1;
            }
            *byte = self.ready.remove(0);
        }
        Ok(())
    }
}

impl TryCryptoRng for TestRng {}
