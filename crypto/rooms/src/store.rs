//! Where the state of rooms lies: parts under keys. The client keeps them in its encrypted database, in the transaction
//! that also holds the message, the cursor and the outbox (R22); tests keep them in a map.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::error::Error;

use zeroize::Zeroize;

/// What a stored value is. The numbers are stored: none is ever used again for something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Part {
    /// The group's ratchet tree.
    Tree = 1,
    /// The group context.
    Context = 2,
    /// The interim transcript hash.
    TranscriptHash = 3,
    /// The confirmation tag of the newest commit.
    ConfirmationTag = 4,
    /// Whether an own commit is pending, and which.
    GroupState = 5,
    /// Of which pieces the message secrets consist.
    MessageSecrets = 6,
    /// Resumption secrets.
    ResumptionSecrets = 7,
    /// The index of the own leaf.
    OwnLeaf = 8,
    /// The secrets of the epoch.
    EpochSecrets = 9,
    /// The configuration the group was made or joined with.
    Config = 10,
    /// Leaves proposed for this device.
    OwnLeafNodes = 11,
    /// Proposals that wait for a commit.
    Proposal = 12,
    /// Private keys of the own path in the tree.
    EpochKeys = 13,
    /// A private key of a proposed leaf.
    EncryptionKey = 14,
    /// A key package with its private keys.
    KeyPackage = 15,
    /// A piece of the message secrets.
    Piece = 16,
    /// What this client notes of a room beside its group: [`crate::Room`].
    Record = 17,
    /// The newest generation and epoch in which this device left, or lost, a room.
    Left = 18,
    /// What this client notes of a key package.
    KeyPackageNote = 19,
}

/// Why a store failed: whatever error it has. After it the caller undoes the whole transaction.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct StoreFailure(Box<dyn Error + Send + Sync>);

impl StoreFailure {
    /// From the store's own error.
    pub fn new(error: impl Error + Send + Sync + 'static) -> Self {
        Self(Box::new(error))
    }

    /// The store's own error again.
    ///
    /// # Errors
    /// This failure, when it is of another type.
    pub fn downcast<E: Error + 'static>(self) -> Result<E, Self> {
        self.0.downcast().map(|error| *error).map_err(Self)
    }
}

/// The store of rooms. All of one operation's changes belong into one transaction of the caller.
pub trait RoomStore {
    /// The value under a key.
    fn get(&self, part: Part, key: &[u8]) -> Result<Option<Vec<u8>>, StoreFailure>;
    /// Puts a value in place of what was there.
    fn put(&self, part: Part, key: &[u8], value: &[u8]) -> Result<(), StoreFailure>;
    /// Removes a value so that it cannot be found any more; nothing happens when there is none.
    fn remove(&self, part: Part, key: &[u8]) -> Result<(), StoreFailure>;
    /// The keys that begin with `prefix`, in order.
    fn keys(&self, part: Part, prefix: &[u8]) -> Result<Vec<Vec<u8>>, StoreFailure>;
}

type Key = (Part, Vec<u8>);

/// A store in memory.
#[derive(Default, Clone)]
pub struct MemoryStore {
    values: RefCell<BTreeMap<Key, Vec<u8>>>,
    written: RefCell<u64>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Everything in it, in order: to see whether something changed.
    pub fn contents(&self) -> Vec<(Part, Vec<u8>, Vec<u8>)> {
        self.values.borrow().iter().map(|((part, key), value)| (*part, key.clone(), value.clone())).collect()
    }

    /// Bytes of values written since it was made.
    pub fn written(&self) -> u64 {
        *self.written.borrow()
    }
}

impl RoomStore for MemoryStore {
    fn get(&self, part: Part, key: &[u8]) -> Result<Option<Vec<u8>>, StoreFailure> {
        Ok(self.values.borrow().get(&(part, key.to_vec())).cloned())
    }

    fn put(&self, part: Part, key: &[u8], value: &[u8]) -> Result<(), StoreFailure> {
        *self.written.borrow_mut() += value.len() as u64;
        self.values.borrow_mut().insert((part, key.to_vec()), value.to_vec());
        Ok(())
    }

    fn remove(&self, part: Part, key: &[u8]) -> Result<(), StoreFailure> {
        self.values.borrow_mut().remove(&(part, key.to_vec()));
        Ok(())
    }

    fn keys(&self, part: Part, prefix: &[u8]) -> Result<Vec<Vec<u8>>, StoreFailure> {
        let values = self.values.borrow();
        let from = values.range((part, prefix.to_vec())..);
        Ok(from
            .take_while(|((p, key), _)| *p == part && key.starts_with(prefix))
            .map(|((_, key), _)| key.clone())
            .collect())
    }
}

/// What one operation would write, kept apart until it is accepted: a refused message changes no stored byte (R16).
pub(crate) struct Draft<'s> {
    store: &'s dyn RoomStore,
    changed: RefCell<BTreeMap<Key, Option<Vec<u8>>>>,
}

impl<'s> Draft<'s> {
    pub(crate) fn new(store: &'s dyn RoomStore) -> Self {
        Self { store, changed: RefCell::default() }
    }

    /// Writes what was changed.
    pub(crate) fn keep(self) -> Result<(), StoreFailure> {
        for ((part, key), value) in self.changed.take() {
            match value {
                Some(mut value) => {
                    self.store.put(part, &key, &value)?;
                    value.zeroize();
                }
                None => self.store.remove(part, &key)?,
            }
        }
        Ok(())
    }
}

impl Drop for Draft<'_> {
    fn drop(&mut self) {
        self.changed.take().into_values().flatten().for_each(|mut value| value.zeroize());
    }
}

impl RoomStore for Draft<'_> {
    fn get(&self, part: Part, key: &[u8]) -> Result<Option<Vec<u8>>, StoreFailure> {
        match self.changed.borrow().get(&(part, key.to_vec())) {
            Some(value) => Ok(value.clone()),
            None => self.store.get(part, key),
        }
    }

    fn put(&self, part: Part, key: &[u8], value: &[u8]) -> Result<(), StoreFailure> {
        let before = self.changed.borrow_mut().insert((part, key.to_vec()), Some(value.to_vec()));
        if let Some(Some(mut value)) = before {
            value.zeroize();
        }
        Ok(())
    }

    fn remove(&self, part: Part, key: &[u8]) -> Result<(), StoreFailure> {
        self.changed.borrow_mut().insert((part, key.to_vec()), None);
        Ok(())
    }

    fn keys(&self, part: Part, prefix: &[u8]) -> Result<Vec<Vec<u8>>, StoreFailure> {
        let mut keys: std::collections::BTreeSet<_> = self.store.keys(part, prefix)?.into_iter().collect();
        for ((p, key), value) in self.changed.borrow().iter() {
            if *p == part && key.starts_with(prefix) {
                if value.is_some() {
                    keys.insert(key.clone());
                } else {
                    keys.remove(key);
                }
            }
        }
        Ok(keys.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draft_is_seen_through_itself_only_until_it_is_kept() {
        let store = MemoryStore::new();
        store.put(Part::Record, b"a1", b"old").unwrap();
        store.put(Part::Record, b"a2", b"gone").unwrap();
        store.put(Part::Record, b"b", b"other").unwrap();
        let before = store.contents();
        {
            let draft = Draft::new(&store);
            draft.put(Part::Record, b"a3", b"new").unwrap();
            draft.remove(Part::Record, b"a2").unwrap();
            assert_eq!(draft.get(Part::Record, b"a2").unwrap(), None);
            assert_eq!(draft.keys(Part::Record, b"a").unwrap(), [b"a1".to_vec(), b"a3".to_vec()]);
            assert_eq!(draft.keys(Part::Left, b"").unwrap(), Vec::<Vec<u8>>::new());
        }
        assert_eq!(store.contents(), before);
        let draft = Draft::new(&store);
        draft.put(Part::Record, b"a3", b"new").unwrap();
        draft.remove(Part::Record, b"a2").unwrap();
        draft.keep().unwrap();
        assert_eq!(store.keys(Part::Record, b"").unwrap(), [b"a1".to_vec(), b"a3".to_vec(), b"b".to_vec()]);
        assert_eq!(store.get(Part::Record, b"a3").unwrap(), Some(b"new".to_vec()));
    }
}
