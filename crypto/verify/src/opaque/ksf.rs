//! The key stretching that makes guessing a passphrase dear to whoever stole the relay's disk. Only clients run it.

use argon2::{Algorithm, Argon2, Params, Version};
use opaque_ke::errors::InternalError;
use opaque_ke::generic_array::{ArrayLength, GenericArray};
use opaque_ke::ksf::Ksf;

/// Argon2id memory in KiB: 64 MiB.
pub const KSF_MEMORY_KIB: u32 = 64 * 1024;
/// Argon2id passes.
pub const KSF_PASSES: u32 = 3;
/// Argon2id lanes.
pub const KSF_PARALLELISM: u32 = 1;

/// Argon2id (RFC 9106), version 0x13, with a salt of 16 zero bytes as RFC 9807, section 7, has it: the input is already
/// the output of the oblivious function, different for each account.
#[derive(Default)]
pub struct Argon2Ksf;

impl Ksf for Argon2Ksf {
    fn hash<L: ArrayLength<u8>>(
        &self,
        input: GenericArray<u8, L>,
    ) -> Result<GenericArray<u8, L>, InternalError> {
        let mut output = GenericArray::default();
        let params = Params::new(KSF_MEMORY_KIB, KSF_PASSES, KSF_PARALLELISM, Some(output.len()))
            .map_err(|_| InternalError::KsfError)?;
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(&input, &[0; 16], &mut output)
            .map_err(|_| InternalError::KsfError)?;
        Ok(output)
    }
}

#[cfg(test)]
mod tests {
    use opaque_ke::generic_array::typenum::U64;

    use super::*;

    #[test]
    fn r40_the_key_stretching_is_not_the_identity() {
        let input = GenericArray::<u8, U64>::from([7; 64]);
        let output = Argon2Ksf.hash(input).unwrap();
        assert_ne!(output, input);

        // The same function asked for directly: what `hash` does is Argon2id with these parameters and no other.
        let params = Params::new(64 * 1024, 3, 1, Some(64)).unwrap();
        let mut expected = [0; 64];
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(&[7; 64], &[0; 16], &mut expected)
            .unwrap();
        assert_eq!(output.as_slice(), expected);
    }
}
