//! The registry of every domain-separation label (R13): one line a use, nowhere else.
//!
//! A [`Label`] can only be made here, so a key derivation or signature that takes one cannot be given a string of its
//! own. Labels are printable ASCII, unique, and none is a prefix of another; the tests below hold that.

use std::fmt;

/// A label of the registry.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Label(&'static [u8]);

impl Label {
    /// The bytes of the label, without terminator: 1 to 64 printable ASCII characters.
    pub const fn as_bytes(self) -> &'static [u8] {
        self.0
    }
}

impl fmt::Debug for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Label({})", String::from_utf8_lossy(self.0))
    }
}

macro_rules! registry {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        $($(#[$doc])* pub const $name: Label = Label($text);)*
        /// Every label with the name of its constant.
        pub const ALL: &[(&str, Label)] = &[$((stringify!($name), $name)),*];
    };
}

registry! {
    // --- signatures (Ed25519 over `label || 0x00 || message`) ---
    /// The account key signs a device list.
    SIGN_DEVICE_LIST = b"subrosa/1 sign device list";
    /// A device signs its signed EC prekey.
    SIGN_PREKEY_SIGNED_EC = b"subrosa/1 sign prekey signed x25519";
    /// A device signs a one-time EC prekey.
    SIGN_PREKEY_ONE_TIME_EC = b"subrosa/1 sign prekey one-time x25519";
    /// A device signs its last-resort KEM prekey.
    SIGN_PREKEY_LAST_RESORT_KEM = b"subrosa/1 sign prekey last-resort ml-kem-768";
    /// A device signs a one-time KEM prekey.
    SIGN_PREKEY_ONE_TIME_KEM = b"subrosa/1 sign prekey one-time ml-kem-768";
    /// A device signs the transcript that authenticates its connection.
    SIGN_AUTH = b"subrosa/1 sign connection";
    /// The account key signs the transcript of a registration.
    SIGN_REGISTRATION = b"subrosa/1 sign registration";
    /// A room's owner key hands over to the next one.
    SIGN_ROOM_OWNER_KEY = b"subrosa/1 sign room owner key";
    /// A room's owner key signs a reboot.
    SIGN_ROOM_REBOOT = b"subrosa/1 sign room reboot";

    // --- hashes (SHA-256 or SHA-512 over `label || 0x00 || message`) ---
    /// Hash of a device list, the link of its chain.
    HASH_DEVICE_LIST = b"subrosa/1 hash device list";
    /// Hash of a sender's previous message (the binding header's `prev_hash`).
    HASH_MESSAGE = b"subrosa/1 hash message";
    /// Hash of what a commit shows to the relay: the commit's authenticated data.
    HASH_ROOM_DELTA = b"subrosa/1 hash room delta";
    /// Hash of an epoch's authenticator, to compare rooms by (R29).
    HASH_ROOM_HEAD = b"subrosa/1 hash room head";
    /// The iterated hash of a safety number.
    HASH_SAFETY_NUMBER = b"subrosa/1 hash safety number";

    // --- key derivation and AEAD of accounts, vault and sealed envelopes ---
    /// HKDF info: the account key from the 256 bits of the recovery words.
    KDF_ACCOUNT_KEY = b"subrosa/1 kdf account key";
    /// HKDF info: the vault's wrapping key from Argon2id's output.
    KDF_VAULT = b"subrosa/1 kdf vault";
    /// AEAD associated data of the vault.
    AEAD_VAULT = b"subrosa/1 aead vault";
    /// HPKE info of a sealed envelope.
    HPKE_SEALED = b"subrosa/1 hpke sealed envelope";
    /// HPKE associated data of a sealed envelope.
    AEAD_SEALED = b"subrosa/1 aead sealed envelope";
    /// The OPAQUE context that binds a login to its connection.
    OPAQUE_LOGIN = b"subrosa/1 opaque login";

    // --- PQXDH, Double Ratchet and sessions ---
    /// HKDF info of PQXDH's shared secret: application, curve, hash and KEM (PQXDH, section 2.2).
    KDF_PQXDH = b"subrosa/1 pqxdh_CURVE25519_SHA-256_ML-KEM-768";
    /// Hash of PQXDH's associated data: the transcript that every message of the session authenticates.
    HASH_PQXDH_TRANSCRIPT = b"subrosa/1 hash pqxdh transcript";
    /// Hash of the two devices of a session, so that a session is never used with another device.
    HASH_SESSION_PARTIES = b"subrosa/1 hash session parties";
    /// HKDF info: root key and session id from PQXDH's shared secret and transcript.
    KDF_SESSION = b"subrosa/1 kdf session";
    /// HKDF info of the root chain (Double Ratchet, `KDF_RK`).
    KDF_ROOT_CHAIN = b"subrosa/1 kdf root chain";
    /// HMAC input that makes the next chain key (Double Ratchet, `KDF_CK`).
    KDF_CHAIN_KEY = b"subrosa/1 kdf chain key";
    /// HMAC input that makes a message key (Double Ratchet, `KDF_CK`).
    KDF_MESSAGE_KEY = b"subrosa/1 kdf message key";
    /// HKDF info: AEAD key and nonce from a message key and the salt in the header (R20).
    KDF_MESSAGE_AEAD = b"subrosa/1 kdf message aead";
    /// First bytes of the AEAD associated data of a session message.
    AEAD_SESSION_MESSAGE = b"subrosa/1 aead session message";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r13_labels_are_unique_and_prefix_free() {
        for (i, (name_a, a)) in ALL.iter().enumerate() {
            for (name_b, b) in &ALL[i + 1..] {
                assert_ne!(name_a, name_b);
                assert!(
                    !a.as_bytes().starts_with(b.as_bytes()) && !b.as_bytes().starts_with(a.as_bytes()),
                    "{name_a} and {name_b} collide"
                );
            }
        }
    }

    #[test]
    fn r13_labels_are_short_printable_and_versioned() {
        for (name, label) in ALL {
            let bytes = label.as_bytes();
            assert!(bytes.len() <= 64, "{name} is too long");
            assert!(bytes.iter().all(|b| (0x20..0x7f).contains(b)), "{name} is not printable ASCII");
            assert!(bytes.starts_with(b"subrosa/1 "), "{name} lacks the version");
        }
    }
}
