//! What OpenMLS is given for one operation.

use openmls_traits::OpenMlsProvider;
use rand_core::CryptoRng;

use crate::storage::Storage;
use crate::store::{Draft, RoomStore, StoreFailure};
use subrosa_crypto::mls::Primitives;

/// Primitives, randomness and a draft of what is stored.
pub(crate) struct Provider<'s> {
    primitives: Primitives,
    storage: Storage<'s>,
}

impl<'s> Provider<'s> {
    pub(crate) fn new(store: &'s dyn RoomStore, rng: &mut dyn CryptoRng) -> Self {
        Self { primitives: Primitives::new(rng), storage: Storage::new(Draft::new(store)) }
    }

    /// What would be stored.
    pub(crate) const fn draft(&self) -> &Draft<'s> {
        self.storage.store()
    }

    /// Why the store failed, if it did.
    pub(crate) fn failure(&self) -> Option<StoreFailure> {
        self.storage.failure()
    }

    /// Writes what the operation changed.
    pub(crate) fn keep(self) -> Result<(), StoreFailure> {
        self.storage.into_store().keep()
    }
}

impl<'s> OpenMlsProvider for Provider<'s> {
    type CryptoProvider = Primitives;
    type RandProvider = Primitives;
    type StorageProvider = Storage<'s>;

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
