//! What OpenMLS is given for one operation.

use openmls_traits::OpenMlsProvider;
use rand_core::CryptoRng;

use super::primitives::Primitives;
use super::storage::Storage;
use super::store::{Draft, RoomStore};

/// Primitives, randomness and a draft of what is stored.
pub(super) struct Provider<'s, S: RoomStore> {
    primitives: Primitives,
    storage: Storage<Draft<'s, S>>,
}

impl<'s, S: RoomStore> Provider<'s, S> {
    pub(super) fn new(store: &'s S, rng: &mut impl CryptoRng) -> Self {
        Self { primitives: Primitives::new(rng), storage: Storage::new(Draft::new(store)) }
    }

    /// What would be stored.
    pub(super) const fn draft(&self) -> &Draft<'s, S> {
        self.storage.store()
    }

    /// Why the store failed, if it did.
    pub(super) fn failure(&self) -> Option<S::Error> {
        self.storage.failure()
    }

    /// Writes what the operation changed.
    pub(super) fn keep(self) -> Result<(), S::Error> {
        self.storage.into_store().keep()
    }
}

impl<'s, S: RoomStore> OpenMlsProvider for Provider<'s, S> {
    type CryptoProvider = Primitives;
    type RandProvider = Primitives;
    type StorageProvider = Storage<Draft<'s, S>>;

    fn storage(&self) -> &Self::StorageProvider {
        &self.storage
    }

    fn crypto(&self) -> &Primitives {
        &self.primitives
    }

    fn rand(&self) -> &Primitives {
        &self.primitives
    }
}
