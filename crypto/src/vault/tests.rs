use proptest::prelude::*;

use super::*;
use crate::test_rng::TestRng;

fn vault() -> (Vault, DbKey) {
    Vault::create(b"correct horse", VaultParams::MINIMUM, &mut TestRng::new(1)).unwrap()
}

#[test]
fn r26_opens_with_its_passphrase_only() {
    let (vault, key) = vault();
    let read = Vault::from_bytes(&vault.to_bytes()).unwrap();
    assert_eq!(read.open(b"correct horse").unwrap().as_bytes(), key.as_bytes());
    for wrong in [&b"correct horsf"[..], b"", b"correct horse "] {
        assert_eq!(read.open(wrong).err(), Some(VaultError::WrongPassphrase));
    }
}

#[test]
fn r26_every_changed_byte_is_refused() {
    let (vault, _) = vault();
    let bytes = vault.to_bytes();
    // Magic, format and parameters are refused at once; one byte each of salt, nonce, key and tag fails to open.
    for at in (0..21).chain([21, 37, 61, 93]) {
        let mut bad = bytes.clone();
        bad[at] ^= 1;
        match Vault::from_bytes(&bad) {
            Ok(vault) => {
                assert_eq!(vault.open(b"correct horse").err(), Some(VaultError::WrongPassphrase), "{at}")
            }
            Err(error) => assert!(at < 21, "{at}: {error}"),
        }
    }
}

#[test]
fn r26_parameters_of_a_hostile_file_are_bounded() {
    let (vault, _) = vault();
    let with = |memory: u32, passes: u32, lanes: u32| {
        let mut bytes = vault.to_bytes();
        bytes[9..13].copy_from_slice(&memory.to_le_bytes());
        bytes[13..17].copy_from_slice(&passes.to_le_bytes());
        bytes[17..21].copy_from_slice(&lanes.to_le_bytes());
        Vault::from_bytes(&bytes).map(|vault| vault.params())
    };
    assert!(with(64 * 1024, 3, 1).is_ok());
    assert!(with(1024 * 1024, 16, 4).is_ok());
    for (memory, passes, lanes) in [
        (1024 * 1024 + 1, 3, 1),
        (64 * 1024, 17, 1),
        (64 * 1024, 3, 5),
        (64 * 1024 - 1, 3, 1),
        (64 * 1024, 2, 1),
        (64 * 1024, 3, 0),
        (u32::MAX, u32::MAX, u32::MAX),
    ] {
        assert!(
            matches!(with(memory, passes, lanes), Err(VaultError::Params(_))),
            "{memory} {passes} {lanes}"
        );
    }
}

#[test]
fn rewrapping_keeps_the_key_and_changes_everything_else() {
    let (vault, key) = vault();
    let mut rng = TestRng::new(2);
    let params = VaultParams::new(65 * 1024, 3, 1).unwrap();
    let new = vault.rewrap(b"correct horse", b"battery staple", params, &mut rng).unwrap();
    assert_eq!(new.params(), params);
    assert_eq!(new.open(b"battery staple").unwrap().as_bytes(), key.as_bytes());
    assert_eq!(new.open(b"correct horse").err(), Some(VaultError::WrongPassphrase));
    assert_ne!((new.salt, new.nonce), (vault.salt, vault.nonce));
    let wrong = vault.rewrap(b"wrong", b"battery staple", params, &mut rng);
    assert_eq!(wrong.err(), Some(VaultError::WrongPassphrase));
}

proptest! {
    #[test]
    fn any_bytes_parse_canonically_or_are_refused(mut bytes in proptest::collection::vec(any::<u8>(), 0..200),
                                                 honest: bool) {
        if honest {
            let good = vault_bytes();
            for (to, from) in bytes.iter_mut().zip(good) {
                *to = from;
            }
        }
        if let Ok(vault) = Vault::from_bytes(&bytes) {
            prop_assert_eq!(vault.to_bytes(), bytes);
        }
    }
}

/// A header that parses, without stretching anything.
fn vault_bytes() -> Vec<u8> {
    let vault = Vault { params: VaultParams::MINIMUM, salt: [1; 16], nonce: [2; 24], wrapped: [3; 48] };
    vault.to_bytes()
}
