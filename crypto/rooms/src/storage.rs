//! OpenMLS's storage interface on top of a [`RoomStore`].
//!
//! Values are MessagePack, which is compact, describes itself (some types of OpenMLS need that) and stands new fields.
//! The two large ones, tree and message secrets, are stored in pieces: see [`crate::pieces`].

use std::cell::RefCell;
use std::collections::BTreeSet;

use openmls_traits::storage::{CURRENT_VERSION, StorageProvider, traits};
use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use crate::pieces::{self, NAME_BYTES};
use crate::store::{Draft, Part, RoomStore, StoreFailure};

const V: u16 = CURRENT_VERSION;

/// Why state could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The store itself failed; undo the transaction.
    #[error(transparent)]
    Store(StoreFailure),
    /// A value cannot be encoded, or what is stored is not one: the store was damaged or written by a newer version.
    #[error("the stored state of a room is damaged ({0:?})")]
    Damaged(Part),
}

/// A [`RoomStore`] as OpenMLS wants it.
pub(crate) struct Storage<'s> {
    store: Draft<'s>,
    /// The store's first failure: OpenMLS tells some of them as if the message were at fault.
    failure: RefCell<Option<StoreFailure>>,
}

type Result<T> = std::result::Result<T, StorageError>;

/// Encodes a value.
pub(crate) fn encode(part: Part, value: &impl Serialize) -> Result<Zeroizing<Vec<u8>>> {
    rmp_serde::to_vec(value).map(Zeroizing::new).map_err(|_| StorageError::Damaged(part))
}

/// Decodes a value.
pub(crate) fn decode<T: DeserializeOwned>(part: Part, value: &[u8]) -> Result<T> {
    rmp_serde::from_slice(value).map_err(|_| StorageError::Damaged(part))
}

impl<'s> Storage<'s> {
    pub(crate) const fn new(store: Draft<'s>) -> Self {
        Self { store, failure: RefCell::new(None) }
    }

    pub(crate) const fn store(&self) -> &Draft<'s> {
        &self.store
    }

    pub(crate) fn into_store(self) -> Draft<'s> {
        self.store
    }

    /// The first failure of the store, if there was one.
    pub(crate) fn failure(&self) -> Option<StoreFailure> {
        self.failure.borrow_mut().take()
    }

    fn noted<T>(&self, part: Part, done: std::result::Result<T, StoreFailure>) -> Result<T> {
        done.map_err(|error| {
            self.failure.borrow_mut().get_or_insert(error);
            StorageError::Damaged(part)
        })
    }

    fn write(&self, part: Part, key: &impl Serialize, value: &impl Serialize) -> Result<()> {
        let (key, value) = (encode(part, key)?, encode(part, value)?);
        self.noted(part, self.store.put(part, &key, &value))
    }

    fn read<T: DeserializeOwned>(&self, part: Part, key: &impl Serialize) -> Result<Option<T>> {
        let value = self.noted(part, self.store.get(part, &encode(part, key)?))?;
        value.map(|value| decode(part, &Zeroizing::new(value))).transpose()
    }

    fn delete(&self, part: Part, key: &impl Serialize) -> Result<()> {
        self.noted(part, self.store.remove(part, &encode(part, key)?))
    }

    fn write_pieces(&self, part: Part, key: &impl Serialize, value: &impl Serialize) -> Result<()> {
        let (key, value) = (encode(part, key)?, encode(part, value)?);
        let before = self.pieces(part, &key)?;
        let mut names = Vec::new();
        let mut after = BTreeSet::new();
        for piece in pieces::cut(&value) {
            let name = pieces::name(piece);
            names.extend_from_slice(&name);
            if after.insert(name) && !before.contains(&name) {
                self.noted(Part::Piece, self.store.put(Part::Piece, &piece_key(part, &key, &name), piece))?;
            }
        }
        for name in before.iter().filter(|name| !after.contains(*name)) {
            self.noted(Part::Piece, self.store.remove(Part::Piece, &piece_key(part, &key, name)))?;
        }
        self.noted(part, self.store.put(part, &key, &names))
    }

    fn read_pieces<T: DeserializeOwned>(&self, part: Part, key: &impl Serialize) -> Result<Option<T>> {
        let key = encode(part, key)?;
        let Some(names) = self.noted(part, self.store.get(part, &key))? else { return Ok(None) };
        let mut value =
            Zeroizing::new(Vec::with_capacity(names.len() / NAME_BYTES * crate::limits::PIECE_MEAN * 2));
        for name in names.as_chunks::<NAME_BYTES>().0 {
            let piece = self.noted(Part::Piece, self.store.get(Part::Piece, &piece_key(part, &key, name)))?;
            value.extend_from_slice(&Zeroizing::new(piece.ok_or(StorageError::Damaged(part))?));
        }
        decode(part, &value).map(Some)
    }

    fn delete_pieces(&self, part: Part, key: &impl Serialize) -> Result<()> {
        let key = encode(part, key)?;
        for name in self.pieces(part, &key)? {
            self.noted(Part::Piece, self.store.remove(Part::Piece, &piece_key(part, &key, &name)))?;
        }
        self.noted(part, self.store.remove(part, &key))
    }

    fn pieces(&self, part: Part, key: &[u8]) -> Result<BTreeSet<[u8; NAME_BYTES]>> {
        let names = self.noted(part, self.store.get(part, key))?.unwrap_or_default();
        Ok(names.as_chunks::<NAME_BYTES>().0.iter().copied().collect())
    }

    /// The keys of a group's proposals, each the group's key and the proposal's.
    fn proposals(&self, group: &impl Serialize) -> Result<(usize, Vec<Vec<u8>>)> {
        let prefix = encode(Part::Proposal, group)?;
        Ok((prefix.len(), self.noted(Part::Proposal, self.store.keys(Part::Proposal, &prefix))?))
    }
}

fn piece_key(part: Part, key: &[u8], name: &[u8; NAME_BYTES]) -> Vec<u8> {
    [key, &[part as u8], name].concat()
}

/// Plain values under the group's id: one setter, one getter, one deleter each.
macro_rules! of_group {
    ($($part:ident: $write:ident $read:ident $delete:ident $kind:ident $write_with:ident $read_with:ident $delete_with:ident;)*) => {
        $(
            fn $write<G: traits::GroupId<V>, T: traits::$kind<V>>(&self, group: &G, value: &T) -> Result<()> {
                self.$write_with(Part::$part, group, value)
            }
            fn $read<G: traits::GroupId<V>, T: traits::$kind<V>>(&self, group: &G) -> Result<Option<T>> {
                self.$read_with(Part::$part, group)
            }
            fn $delete<G: traits::GroupId<V>>(&self, group: &G) -> Result<()> {
                self.$delete_with(Part::$part, group)
            }
        )*
    };
}

impl StorageProvider<V> for Storage<'_> {
    type Error = StorageError;

    of_group! {
        Config: write_mls_join_config mls_group_join_config delete_group_config MlsGroupJoinConfig write read delete;
        Tree: write_tree tree delete_tree TreeSync write_pieces read_pieces delete_pieces;
        TranscriptHash: write_interim_transcript_hash interim_transcript_hash delete_interim_transcript_hash InterimTranscriptHash write read delete;
        Context: write_context group_context delete_context GroupContext write read delete;
        ConfirmationTag: write_confirmation_tag confirmation_tag delete_confirmation_tag ConfirmationTag write read delete;
        MessageSecrets: write_message_secrets message_secrets delete_message_secrets MessageSecrets write_pieces read_pieces delete_pieces;
        ResumptionSecrets: write_resumption_psk_store resumption_psk_store delete_all_resumption_psk_secrets ResumptionPskStore write read delete;
        OwnLeaf: write_own_leaf_index own_leaf_index delete_own_leaf_index LeafNodeIndex write read delete;
        EpochSecrets: write_group_epoch_secrets group_epoch_secrets delete_group_epoch_secrets GroupEpochSecrets write read delete;
    }

    fn write_group_state<T: traits::GroupState<V>, G: traits::GroupId<V>>(
        &self,
        group: &G,
        state: &T,
    ) -> Result<()> {
        self.write(Part::GroupState, group, state)
    }

    fn group_state<T: traits::GroupState<V>, G: traits::GroupId<V>>(&self, group: &G) -> Result<Option<T>> {
        self.read(Part::GroupState, group)
    }

    fn delete_group_state<G: traits::GroupId<V>>(&self, group: &G) -> Result<()> {
        self.delete(Part::GroupState, group)
    }

    fn append_own_leaf_node<G: traits::GroupId<V>, T: traits::LeafNode<V>>(
        &self,
        group: &G,
        leaf: &T,
    ) -> Result<()> {
        let mut leaves: Vec<T> = self.own_leaf_nodes(group)?;
        // The trait has no `Clone`: the new one goes through its encoding.
        leaves.push(decode(Part::OwnLeafNodes, &encode(Part::OwnLeafNodes, leaf)?)?);
        self.write(Part::OwnLeafNodes, group, &leaves)
    }

    fn own_leaf_nodes<G: traits::GroupId<V>, T: traits::LeafNode<V>>(&self, group: &G) -> Result<Vec<T>> {
        Ok(self.read(Part::OwnLeafNodes, group)?.unwrap_or_default())
    }

    fn delete_own_leaf_nodes<G: traits::GroupId<V>>(&self, group: &G) -> Result<()> {
        self.delete(Part::OwnLeafNodes, group)
    }

    fn queue_proposal<G: traits::GroupId<V>, R: traits::ProposalRef<V>, T: traits::QueuedProposal<V>>(
        &self,
        group: &G,
        reference: &R,
        proposal: &T,
    ) -> Result<()> {
        let key = [encode(Part::Proposal, group)?.as_slice(), &encode(Part::Proposal, reference)?].concat();
        let value = encode(Part::Proposal, proposal)?;
        self.noted(Part::Proposal, self.store.put(Part::Proposal, &key, &value))
    }

    fn queued_proposal_refs<G: traits::GroupId<V>, R: traits::ProposalRef<V>>(
        &self,
        group: &G,
    ) -> Result<Vec<R>> {
        let (prefix, keys) = self.proposals(group)?;
        keys.iter().map(|key| decode(Part::Proposal, key.get(prefix..).unwrap_or_default())).collect()
    }

    fn queued_proposals<G: traits::GroupId<V>, R: traits::ProposalRef<V>, T: traits::QueuedProposal<V>>(
        &self,
        group: &G,
    ) -> Result<Vec<(R, T)>> {
        let (prefix, keys) = self.proposals(group)?;
        let mut found = Vec::with_capacity(keys.len());
        for key in keys {
            let value = self.noted(Part::Proposal, self.store.get(Part::Proposal, &key))?;
            let value = value.ok_or(StorageError::Damaged(Part::Proposal))?;
            let reference = decode(Part::Proposal, key.get(prefix..).unwrap_or_default())?;
            found.push((reference, decode(Part::Proposal, &value)?));
        }
        Ok(found)
    }

    fn remove_proposal<G: traits::GroupId<V>, R: traits::ProposalRef<V>>(
        &self,
        group: &G,
        reference: &R,
    ) -> Result<()> {
        let key = [encode(Part::Proposal, group)?.as_slice(), &encode(Part::Proposal, reference)?].concat();
        self.noted(Part::Proposal, self.store.remove(Part::Proposal, &key))
    }

    fn clear_proposal_queue<G: traits::GroupId<V>, R: traits::ProposalRef<V>>(
        &self,
        group: &G,
    ) -> Result<()> {
        for key in self.proposals(group)?.1 {
            self.noted(Part::Proposal, self.store.remove(Part::Proposal, &key))?;
        }
        Ok(())
    }

    fn write_encryption_epoch_key_pairs<
        G: traits::GroupId<V>,
        K: traits::EpochKey<V>,
        T: traits::HpkeKeyPair<V>,
    >(
        &self,
        group: &G,
        epoch: &K,
        leaf_index: u32,
        pairs: &[T],
    ) -> Result<()> {
        self.write(Part::EpochKeys, &(group, epoch, leaf_index), &pairs)
    }

    fn encryption_epoch_key_pairs<
        G: traits::GroupId<V>,
        K: traits::EpochKey<V>,
        T: traits::HpkeKeyPair<V>,
    >(
        &self,
        group: &G,
        epoch: &K,
        leaf_index: u32,
    ) -> Result<Vec<T>> {
        Ok(self.read(Part::EpochKeys, &(group, epoch, leaf_index))?.unwrap_or_default())
    }

    fn delete_encryption_epoch_key_pairs<G: traits::GroupId<V>, K: traits::EpochKey<V>>(
        &self,
        group: &G,
        epoch: &K,
        leaf_index: u32,
    ) -> Result<()> {
        self.delete(Part::EpochKeys, &(group, epoch, leaf_index))
    }

    fn write_encryption_key_pair<K: traits::EncryptionKey<V>, T: traits::HpkeKeyPair<V>>(
        &self,
        key: &K,
        pair: &T,
    ) -> Result<()> {
        self.write(Part::EncryptionKey, key, pair)
    }

    fn encryption_key_pair<T: traits::HpkeKeyPair<V>, K: traits::EncryptionKey<V>>(
        &self,
        key: &K,
    ) -> Result<Option<T>> {
        self.read(Part::EncryptionKey, key)
    }

    fn delete_encryption_key_pair<K: traits::EncryptionKey<V>>(&self, key: &K) -> Result<()> {
        self.delete(Part::EncryptionKey, key)
    }

    fn write_key_package<H: traits::HashReference<V>, T: traits::KeyPackage<V>>(
        &self,
        hash: &H,
        package: &T,
    ) -> Result<()> {
        self.write(Part::KeyPackage, hash, package)
    }

    fn key_package<H: traits::HashReference<V>, T: traits::KeyPackage<V>>(
        &self,
        hash: &H,
    ) -> Result<Option<T>> {
        self.read(Part::KeyPackage, hash)
    }

    fn delete_key_package<H: traits::HashReference<V>>(&self, hash: &H) -> Result<()> {
        self.delete(Part::KeyPackage, hash)
    }

    // Signature keys are the device's own, and pre-shared keys are refused (R30): neither is ever stored here.

    fn write_signature_key_pair<K: traits::SignaturePublicKey<V>, T: traits::SignatureKeyPair<V>>(
        &self,
        _: &K,
        _: &T,
    ) -> Result<()> {
        Err(StorageError::Damaged(Part::EncryptionKey))
    }

    fn signature_key_pair<K: traits::SignaturePublicKey<V>, T: traits::SignatureKeyPair<V>>(
        &self,
        _: &K,
    ) -> Result<Option<T>> {
        Ok(None)
    }

    fn delete_signature_key_pair<K: traits::SignaturePublicKey<V>>(&self, _: &K) -> Result<()> {
        Ok(())
    }

    fn write_psk<K: traits::PskId<V>, T: traits::PskBundle<V>>(&self, _: &K, _: &T) -> Result<()> {
        Err(StorageError::Damaged(Part::EncryptionKey))
    }

    fn psk<T: traits::PskBundle<V>, K: traits::PskId<V>>(&self, _: &K) -> Result<Option<T>> {
        Ok(None)
    }

    fn delete_psk<K: traits::PskId<V>>(&self, _: &K) -> Result<()> {
        Ok(())
    }
}
