//! The account key and the 24 words that bring it back.

use std::fmt;

use bip39::{Language, Mnemonic};
use ed25519_dalek::SigningKey;
use rand_core::CryptoRng;
use subrosa_verify::auth::RegistrationTranscript;
use subrosa_verify::canonical::{Malformed, Reader};
use subrosa_verify::device_list::{DeviceList, DeviceListError, SignedDeviceList};
use subrosa_verify::labels;
use zeroize::Zeroizing;

use crate::kdf::hkdf_key;
use crate::signing::sign;

/// How many recovery words there are.
pub const RECOVERY_WORDS: usize = 24;
/// Length of [`AccountSecret::to_bytes`].
pub const ACCOUNT_SECRET_BYTES: usize = 32;
/// The longest text in bytes that is looked at for recovery words.
const MAX_TEXT: usize = 2048;

/// The secret of an account: 256 bits of entropy and the Ed25519 key derived from them. Every linked device holds it.
/// Erased on drop.
pub struct AccountSecret {
    entropy: Zeroizing<[u8; ACCOUNT_SECRET_BYTES]>,
    signing: SigningKey,
}

/// The entropy as 24 English words of BIP 39 (checksum included). `Display` shows them, which is their purpose; there is
/// no `Debug`. Erased on drop.
pub struct RecoveryWords(Mnemonic);

/// Why words do not make an account key. Nothing of what was typed is repeated in the error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecoveryWordsError {
    /// Not 24 words.
    #[error("expected 24 recovery words, got {0}")]
    Count(usize),
    /// A word that is not in the list, by its place counted from 1.
    #[error("word {0} is not a recovery word")]
    Unknown(usize),
    /// All words are known but the checksum is wrong: one is another's, or two changed places.
    #[error("the recovery words do not belong together: one is wrong, or two changed places")]
    Checksum,
}

/// Why a device list is not signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignListError {
    /// The list names another account key than this one.
    #[error("the device list is of another account key")]
    OtherKey,
    /// No one would accept the list.
    #[error(transparent)]
    Invalid(#[from] DeviceListError),
}

impl AccountSecret {
    /// A new account and its words, to be shown once.
    pub fn generate(rng: &mut impl CryptoRng) -> (Self, RecoveryWords) {
        let mut entropy = Zeroizing::new([0; ACCOUNT_SECRET_BYTES]);
        rng.fill_bytes(&mut *entropy);
        let secret = Self::from_entropy(entropy);
        let words = secret.recovery_words();
        (secret, words)
    }

    /// The account of these words. Case, line breaks, repeated spaces and numbering such as `1.` do not matter.
    pub fn from_words(text: &str) -> Result<Self, RecoveryWordsError> {
        if text.len() > MAX_TEXT {
            return Err(RecoveryWordsError::Count(text.split_whitespace().count()));
        }
        let lower = Zeroizing::new(text.to_lowercase());
        let words =
            Zeroizing::new(lower.split_whitespace().filter(|w| !is_number(w)).collect::<Vec<_>>().join(" "));
        let count = words.split_whitespace().count();
        if count != RECOVERY_WORDS {
            return Err(RecoveryWordsError::Count(count));
        }
        let mnemonic =
            Mnemonic::parse_in_normalized(Language::English, &words).map_err(|error| match error {
                bip39::Error::UnknownWord(index) => RecoveryWordsError::Unknown(index + 1),
                _ => RecoveryWordsError::Checksum,
            })?;
        let entropy = Zeroizing::new(mnemonic.to_entropy());
        Self::from_bytes(&entropy).map_err(|_| RecoveryWordsError::Count(count))
    }

    /// The 256 bits of entropy, for the store and for linking a device.
    pub fn to_bytes(&self) -> Zeroizing<[u8; ACCOUNT_SECRET_BYTES]> {
        self.entropy.clone()
    }

    /// The account of this entropy: [`ACCOUNT_SECRET_BYTES`], or an error.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut r = Reader::new(bytes);
        let entropy = Zeroizing::new(r.array()?);
        r.finish()?;
        Ok(Self::from_entropy(entropy))
    }

    /// The words of this account, to be shown when its person asks for them.
    pub fn recovery_words(&self) -> RecoveryWords {
        // 32 bytes are one of the five lengths that BIP 39 takes, so that this cannot fail.
        #[allow(clippy::expect_used, reason = "the length is fixed by the type")]
        RecoveryWords(Mnemonic::from_entropy(&*self.entropy).expect("256 bits make 24 words"))
    }

    /// The account key, as it stands in the device list.
    pub fn public(&self) -> [u8; 32] {
        self.signing.verifying_key().to_bytes()
    }

    /// Signs a version of the device list, after checking that it is one of this account that others will accept.
    /// Whether it follows the version before is for [`DeviceList::check_follows`] to say.
    pub fn sign_device_list(&self, list: &DeviceList) -> Result<SignedDeviceList, SignListError> {
        if list.account_key != self.public() {
            return Err(SignListError::OtherKey);
        }
        list.check()?;
        let bytes = list.to_bytes();
        let signature = sign(&self.signing, labels::SIGN_DEVICE_LIST, &bytes).0;
        Ok(SignedDeviceList { bytes, signature })
    }

    /// Proves at registration, on one connection, that this account's key is here.
    pub fn sign_registration(&self, transcript: &RegistrationTranscript<'_>) -> [u8; 64] {
        sign(&self.signing, labels::SIGN_REGISTRATION, &transcript.to_bytes()).0
    }

    fn from_entropy(entropy: Zeroizing<[u8; ACCOUNT_SECRET_BYTES]>) -> Self {
        let seed = hkdf_key(&[], &*entropy, labels::KDF_ACCOUNT_KEY);
        Self { entropy, signing: SigningKey::from_bytes(seed.as_bytes()) }
    }
}

impl RecoveryWords {
    /// The words in their order.
    pub fn words(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.0.words()
    }
}

impl fmt::Display for RecoveryWords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

fn is_number(word: &str) -> bool {
    word.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | ')' | ':'))
}

#[cfg(test)]
mod tests {
    use subrosa_verify::auth::verify_registration;
    use subrosa_verify::keys::VerifyingKey;

    use super::*;
    use crate::device::DeviceSecrets;
    use crate::test_rng::TestRng;

    fn list_of(account: &AccountSecret, device: &DeviceSecrets) -> DeviceList {
        DeviceList {
            account: "alice".into(),
            account_key: account.public(),
            version: 1,
            prev_hash: [0; 32],
            next_device_id: 2,
            devices: vec![device.entry(1, 5)],
        }
    }

    /// The BIP 39 vectors of 256 bits (trezor/python-mnemonic).
    #[test]
    fn bip_39_vectors() {
        for (entropy, words) in [
            ([0x00; 32], [["abandon"; 23].join(" "), "art".into()].join(" ")),
            ([0xff; 32], [["zoo"; 23].join(" "), "vote".into()].join(" ")),
        ] {
            let account = AccountSecret::from_bytes(&entropy).unwrap();
            assert_eq!(account.recovery_words().to_string(), words);
            assert_eq!(*AccountSecret::from_words(&words).unwrap().to_bytes(), entropy);
        }
    }

    #[test]
    fn words_bring_the_account_back_however_they_are_typed() {
        let (account, words) = AccountSecret::generate(&mut TestRng::new(1));
        assert_eq!(words.words().count(), RECOVERY_WORDS);
        let numbered: String = words
            .words()
            .enumerate()
            .map(|(i, w)| format!("  {}. {}\r\n", i + 1, w.to_uppercase()))
            .collect();
        for text in [words.to_string(), words.to_string().replace(' ', "\n \t"), numbered] {
            assert_eq!(AccountSecret::from_words(&text).unwrap().public(), account.public());
        }
        assert_eq!(AccountSecret::from_bytes(&account.to_bytes()[..]).unwrap().public(), account.public());
        assert!(AccountSecret::from_bytes(&account.to_bytes()[1..]).is_err());
    }

    #[test]
    fn wrong_words_are_told_by_their_place_only() {
        let error = |text: &str| AccountSecret::from_words(text).err().unwrap();
        let (_, words) = AccountSecret::generate(&mut TestRng::new(1));
        let mut list: Vec<_> = words.words().collect();
        assert_eq!(error(""), RecoveryWordsError::Count(0));
        assert_eq!(error(&list[1..].join(" ")), RecoveryWordsError::Count(23));
        assert!(matches!(error(&"a ".repeat(2000)), RecoveryWordsError::Count(_)));
        let first = std::mem::replace(&mut list[0], "abandom");
        assert_eq!(error(&list.join(" ")), RecoveryWordsError::Unknown(1));
        assert!(!error(&list.join(" ")).to_string().contains("abandom"));
        list[0] = first;
        list.swap(0, 1);
        assert_eq!(error(&list.join(" ")), RecoveryWordsError::Checksum);
    }

    #[test]
    fn signs_only_lists_of_its_own_key_that_others_accept() {
        let mut rng = TestRng::new(2);
        let (account, _) = AccountSecret::generate(&mut rng);
        let device = DeviceSecrets::generate(&mut rng);
        let list = list_of(&account, &device);
        let signed = account.sign_device_list(&list).unwrap();
        assert_eq!(signed.verify("alice"), Ok(list.clone()));
        assert_eq!(signed.verify("alicf"), Err(DeviceListError::OtherAccount));

        let (other, _) = AccountSecret::generate(&mut rng);
        assert_eq!(other.sign_device_list(&list), Err(SignListError::OtherKey));
        let broken = DeviceList { next_device_id: 1, ..list };
        assert!(matches!(account.sign_device_list(&broken), Err(SignListError::Invalid(_))));
    }

    #[test]
    fn a_registration_counts_for_its_connection_and_list() {
        let (account, _) = AccountSecret::generate(&mut TestRng::new(2));
        let key = VerifyingKey(account.public());
        let good = RegistrationTranscript {
            exporter: [1; 32],
            nonce: [2; 32],
            account: "alice",
            device_list_sha256: [3; 32],
        };
        let proof = account.sign_registration(&good);
        assert_eq!(verify_registration(&key, &good, &proof), Ok(()));
        for other in [
            RegistrationTranscript { exporter: [9; 32], ..good },
            RegistrationTranscript { nonce: [9; 32], ..good },
            RegistrationTranscript { account: "bob", ..good },
            RegistrationTranscript { device_list_sha256: [9; 32], ..good },
        ] {
            assert!(verify_registration(&key, &other, &proof).is_err(), "{other:?}");
        }
    }
}
