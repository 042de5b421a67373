//! Key packages: what others add this device with while it is offline (R35).
//!
//! Each is an MLS key package of one suite, whose leaf is this device's, with the extension 0xF0A2:
//! `not before u64 | not after u64` in ms since 1970. MLS's own lifetime says "always": see
//! [`crate::config::any_time`]. One of each suite is marked as last resort and is used when the others are used up.

use openmls::prelude::{
    Extension, Extensions, KeyPackage, KeyPackageIn, OpenMlsProvider, ProtocolVersion, UnknownExtension,
};
use rand_core::CryptoRng;
use serde::{Deserialize as SerdeDeserialize, Serialize as SerdeSerialize};
use sha2::{Digest, Sha256};
use subrosa_verify::canonical::Reader;
use subrosa_verify::room::RoomDevice;
use tls_codec::{Deserialize, Serialize};

use crate::config::{self, LIFETIME_EXTENSION};
use crate::credential::{Directory, Listed, Me};
use crate::deed::checked_leaf;
use crate::error::{Refusal, RoomError};
use crate::limits::{
    CLOCK_SKEW_MS, KEY_PACKAGE_GRACE_MS, KEY_PACKAGE_MAX, KEY_PACKAGE_MS, KEY_PACKAGES, KEY_PACKAGES_REFILL,
};
use crate::provider::Provider;
use crate::storage::{StorageError, decode, encode};
use crate::store::{Part, RoomStore};
use subrosa_crypto::mls::Primitives;
use subrosa_crypto::mls::Suite;

/// A key package to publish. Its private keys are in the store: commit that transaction before the upload (R21).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnKeyPackage {
    /// SHA-256 of [`OwnKeyPackage::bytes`]: its id, never used again.
    pub id: [u8; 32],
    /// What is uploaded.
    pub bytes: Vec<u8>,
    /// Its suite.
    pub suite: Suite,
    /// It may be handed out again and again.
    pub last_resort: bool,
    /// After this time nobody uses it, in ms since 1970.
    pub not_after: u64,
}

/// Somebody's key package, checked: a device that can be added.
#[derive(Debug, Clone)]
pub struct Invitee {
    /// Whose it is.
    pub device: RoomDevice,
    pub(crate) package: KeyPackage,
}

/// What is kept of an own key package.
#[derive(SerdeSerialize, SerdeDeserialize)]
struct Note {
    /// Under which key the private keys lie.
    reference: Vec<u8>,
    suite: u16,
    last_resort: bool,
    not_after: u64,
}

/// How many more key packages of a suite to make, given how many of them the relay still has: none, or up to 25 when
/// fewer than 8 are left.
#[must_use]
pub const fn refill(left: usize) -> usize {
    if left < KEY_PACKAGES_REFILL { KEY_PACKAGES.saturating_sub(left) } else { 0 }
}

/// Makes a key package and stores its private keys.
///
/// # Errors
/// [`RoomError::Mls`] or the store's.
pub fn make(
    store: &dyn RoomStore,
    rng: &mut dyn CryptoRng,
    me: Me<'_>,
    suite: Suite,
    last_resort: bool,
    now: u64,
) -> Result<OwnKeyPackage, RoomError> {
    let provider = Provider::new(store, rng);
    let not_after = now.saturating_add(KEY_PACKAGE_MS);
    let lifetime = [now.saturating_sub(CLOCK_SKEW_MS).to_le_bytes(), not_after.to_le_bytes()].concat();
    let mut extensions = vec![Extension::Unknown(LIFETIME_EXTENSION, UnknownExtension(lifetime))];
    if last_resort {
        extensions.push(Extension::LastResort(Default::default()));
    }
    let bundle = KeyPackage::builder()
        .key_package_lifetime(config::any_time())
        .leaf_node_capabilities(config::capabilities())
        .key_package_extensions(Extensions::from_vec(extensions).map_err(|_| RoomError::Mls("key package"))?)
        .build(suite.mls(), &provider, &me, me.credential())
        .map_err(|_| RoomError::Mls("key package"))?;
    let package = bundle.key_package();
    let bytes = package.tls_serialize_detached().map_err(|_| RoomError::Mls("key package"))?;
    let reference = package.hash_ref(provider.crypto()).map_err(|_| RoomError::Mls("key package"))?;
    let reference = encode(Part::KeyPackage, &reference)?.to_vec();
    let id: [u8; 32] = Sha256::digest(&bytes).into();
    let note = Note { reference, suite: suite.code(), last_resort, not_after };
    let draft = provider.draft();
    draft
        .put(Part::KeyPackageNote, &id, &encode(Part::KeyPackageNote, &note)?)
        .map_err(StorageError::Store)?;
    provider.keep().map_err(StorageError::Store)?;
    Ok(OwnKeyPackage { id, bytes, suite, last_resort, not_after })
}

/// Erases the private keys of key packages that ended a month ago or more. How many there were.
///
/// # Errors
/// The store's.
pub fn expire(store: &dyn RoomStore, now: u64) -> Result<usize, RoomError> {
    let mut erased = 0;
    for id in store.keys(Part::KeyPackageNote, &[]).map_err(StorageError::Store)? {
        let Some(note) = store.get(Part::KeyPackageNote, &id).map_err(StorageError::Store)? else { continue };
        let note: Note = decode(Part::KeyPackageNote, &note)?;
        let used = store.get(Part::KeyPackage, &note.reference).map_err(StorageError::Store)?.is_none();
        if used || note.not_after.saturating_add(KEY_PACKAGE_GRACE_MS) <= now {
            store.remove(Part::KeyPackage, &note.reference).map_err(StorageError::Store)?;
            store.remove(Part::KeyPackageNote, &id).map_err(StorageError::Store)?;
            erased += usize::from(!used);
        }
    }
    Ok(erased)
}

/// Erases every key package's private keys: they belong to keys of this device that are given up.
///
/// # Errors
/// The store's.
pub fn erase_all(store: &dyn RoomStore) -> Result<(), RoomError> {
    for part in [Part::KeyPackage, Part::KeyPackageNote] {
        for key in store.keys(part, &[]).map_err(StorageError::Store)? {
            store.remove(part, &key).map_err(StorageError::Store)?;
        }
    }
    Ok(())
}

/// Checks a key package that the relay handed out for `device`: suite, signatures, time, and that the account's list has
/// the device with this key.
///
/// # Errors
/// [`CheckError`].
pub fn check(
    bytes: &[u8],
    device: &RoomDevice,
    suite: Suite,
    directory: &dyn Directory,
    now: u64,
) -> Result<Invitee, CheckError> {
    if bytes.len() > KEY_PACKAGE_MAX {
        return Err(Refusal::Malformed.into());
    }
    let package = KeyPackageIn::tls_deserialize_exact(bytes).map_err(|_| Refusal::Malformed)?;
    let package = package
        .validate(&Primitives::without_randomness(), ProtocolVersion::Mls10)
        .map_err(|_| Refusal::Unreadable)?;
    let (named, key) = checked_leaf(package.leaf_node())?;
    if named != *device || package.ciphersuite() != suite.mls() {
        return Err(Refusal::NotForMe.into());
    }
    let (not_before, not_after) = lifetime(&package).ok_or(Refusal::Extension)?;
    let fits = not_before <= now.saturating_add(CLOCK_SKEW_MS)
        && now < not_after
        && not_after.saturating_sub(not_before) <= KEY_PACKAGE_MS + 2 * CLOCK_SKEW_MS;
    if !fits {
        return Err(Refusal::Expired.into());
    }
    match directory.look(device) {
        Listed::Listed { signing_key, .. } if signing_key == key => Ok(Invitee { device: named, package }),
        Listed::Unknown => Err(CheckError::NeedList(named.account)),
        _ => Err(Refusal::Leaf(named).into()),
    }
}

/// Why a key package cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckError {
    /// It is refused: take another, or tell that this device cannot be added now.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The device list of this account is needed first.
    #[error("the device list of {0} is missing")]
    NeedList(String),
}

fn lifetime(package: &KeyPackage) -> Option<(u64, u64)> {
    let mut r = Reader::new(&package.extensions().unknown(LIFETIME_EXTENSION)?.0);
    let times = (r.u64().ok()?, r.u64().ok()?);
    r.finish().ok()?;
    Some(times)
}
