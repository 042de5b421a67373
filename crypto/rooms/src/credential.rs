//! Who a leaf is, and who says that this is so: the account's signed device list (R33).
//!
//! ```text
//! identity of the MLS basic credential: 0x01 | account str8 | device u32
//! ```

use openmls::prelude::{BasicCredential, Credential, CredentialWithKey};
use openmls_traits::signatures::{Signer, SignerError};
use openmls_traits::types::SignatureScheme;
use subrosa_verify::canonical::{Malformed, Reader};
use subrosa_verify::room::RoomDevice;

use subrosa_crypto::binding::Party;
use subrosa_crypto::device::DeviceSecrets;

const VERSION: u8 = 0x01;

/// The device that acts: its leaf's name and the secrets that sign for it.
#[derive(Clone, Copy)]
pub struct Me<'a> {
    /// The own username.
    pub account: &'a str,
    /// The own account key (Ed25519).
    pub account_key: [u8; 32],
    /// The own device id.
    pub device: u32,
    /// The device's secret keys; the signing key is the leaf's.
    pub secrets: &'a DeviceSecrets,
}

/// What is known of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listed {
    /// It stands in its account's newest list that is known.
    Listed {
        /// The device's signing key.
        signing_key: [u8; 32],
        /// The account's key, which signed the list.
        account_key: [u8; 32],
    },
    /// It stood in an earlier list of its account, and does not in the newest that is known.
    Former {
        /// The device's signing key.
        signing_key: [u8; 32],
    },
    /// The account's list is known, was asked for since the message at hand came, and does not hold the device.
    Absent,
    /// The list is not known, or is older than the message and lacks the device: fetch it, then try again.
    Unknown,
}

/// The signed device lists of all accounts.
pub trait Directory {
    /// What is known of `device`.
    fn look(&self, device: &RoomDevice) -> Listed;

    /// Whether the list that is known of `account` was asked for since the message at hand came. What is always up to date
    /// leaves this as it is.
    fn is_newest(&self, account: &str) -> bool {
        let _ = account;
        true
    }
}

impl<F: Fn(&RoomDevice) -> Listed> Directory for F {
    fn look(&self, device: &RoomDevice) -> Listed {
        self(device)
    }
}

impl Me<'_> {
    /// The own leaf's name.
    #[must_use]
    pub fn room_device(&self) -> RoomDevice {
        RoomDevice::new(self.account, self.device)
    }

    /// This device as the binding header names it.
    #[must_use]
    pub fn party(&self) -> Party<'_> {
        Party { account: self.account, account_key: self.account_key, device: self.device }
    }

    pub(crate) fn credential(&self) -> CredentialWithKey {
        CredentialWithKey {
            credential: BasicCredential::new(identity(&self.room_device())).into(),
            signature_key: self.secrets.verifying_key().0.as_slice().into(),
        }
    }
}

impl Signer for Me<'_> {
    fn sign(&self, payload: &[u8]) -> Result<Vec<u8>, SignerError> {
        Ok(self.secrets.sign_mls(payload).to_vec())
    }

    fn signature_scheme(&self) -> SignatureScheme {
        SignatureScheme::ED25519
    }
}

/// The identity in a leaf's credential.
pub(crate) fn identity(device: &RoomDevice) -> Vec<u8> {
    let mut out = vec![VERSION];
    device.put(&mut out);
    out
}

/// The device that a credential names.
pub(crate) fn named(credential: &Credential) -> Result<RoomDevice, Malformed> {
    let basic = BasicCredential::try_from(credential.clone()).map_err(|_| Malformed::Field("credential"))?;
    let mut r = Reader::new(basic.identity());
    if r.u8()? != VERSION {
        return Err(Malformed::Field("version"));
    }
    let device = RoomDevice::read(&mut r)?;
    r.finish()?;
    Ok(device)
}

#[cfg(test)]
mod tests {
    use openmls::prelude::CredentialType;

    use super::*;

    #[test]
    fn golden_bytes_of_an_identity_and_no_second_form() {
        let device = RoomDevice::new("alice", 2);
        let bytes = identity(&device);
        assert_eq!(bytes, b"\x01\x05alice\x02\0\0\0");
        assert_eq!(named(&BasicCredential::new(bytes.clone()).into()), Ok(device));
        for bad in
            [&b""[..], b"\x02\x05alice\x02\0\0\0", b"\x01\x05alice\x02\0\0\0\0", b"\x01\x05alice\0\0\0\0"]
        {
            assert!(named(&BasicCredential::new(bad.to_vec()).into()).is_err());
        }
        assert!(named(&Credential::new(CredentialType::X509, bytes)).is_err());
    }
}
