//! The cost of one guess at a passphrase, within bounds.

use argon2::{Algorithm, Argon2, Params, Version};

/// Argon2id parameters within the bounds of R26 below, and above within what a hostile file may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VaultParams {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

/// A parameter outside its bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{what} of {got} is outside {min} to {max}")]
pub struct ParamsError {
    /// Which parameter, with its unit.
    pub what: &'static str,
    /// What was asked for.
    pub got: u32,
    /// The least that is allowed.
    pub min: u32,
    /// The most that is allowed.
    pub max: u32,
}

impl VaultParams {
    /// The least that a vault is made with, and what calibration starts from: 64 MiB, 3 passes, 1 lane (R26).
    pub const MINIMUM: Self = Self { memory_kib: 64 * 1024, passes: 3, lanes: 1 };
    /// The most memory in KiB: 1 GiB.
    pub const MAX_MEMORY_KIB: u32 = 1024 * 1024;
    /// The most passes.
    pub const MAX_PASSES: u32 = 16;
    /// The most lanes.
    pub const MAX_LANES: u32 = 4;

    /// Parameters, when each is within its bounds.
    pub fn new(memory_kib: u32, passes: u32, lanes: u32) -> Result<Self, ParamsError> {
        let within = |what, got, min, max| {
            if (min..=max).contains(&got) { Ok(got) } else { Err(ParamsError { what, got, min, max }) }
        };
        Ok(Self {
            memory_kib: within("memory (KiB)", memory_kib, Self::MINIMUM.memory_kib, Self::MAX_MEMORY_KIB)?,
            passes: within("number of passes", passes, Self::MINIMUM.passes, Self::MAX_PASSES)?,
            lanes: within("number of lanes", lanes, Self::MINIMUM.lanes, Self::MAX_LANES)?,
        })
    }

    /// Memory in KiB.
    pub fn memory_kib(self) -> u32 {
        self.memory_kib
    }

    /// Passes over the memory.
    pub fn passes(self) -> u32 {
        self.passes
    }

    /// Lanes.
    pub fn lanes(self) -> u32 {
        self.lanes
    }

    /// One guess: Argon2id of `passphrase` into `out`. `salt` has 8 bytes or more. Also what calibration measures.
    pub fn stretch(self, passphrase: &[u8], salt: &[u8], out: &mut [u8]) -> Result<(), argon2::Error> {
        let params = Params::new(self.memory_kib, self.passes, self.lanes, Some(out.len()))?;
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params).hash_password_into(passphrase, salt, out)
    }
}
