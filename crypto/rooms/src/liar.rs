//! What a member's client can send that keeps to no rule. For tests of this and of other crates: no program is built with it.

use openmls::prelude::OpenMlsProvider;
use rand_core::CryptoRng;
use subrosa_crypto::binding::{self, Conversation, Header, Recipient};
use subrosa_crypto::padding;
use subrosa_verify::room::{Delta, RoomDevice};

use crate::commit::object;
use crate::config;
use crate::credential::Me;
use crate::error::{Refusal, RoomError};
use crate::group::Room;
use crate::policy::Policy;
use crate::provider::Provider;
use crate::store::RoomStore;

impl Room {
    /// A commit that removes these and sets this policy, whoever may. The own room stays as it was.
    ///
    /// # Errors
    /// The store's, or OpenMLS's.
    pub fn lying_commit(
        &mut self,
        store: &dyn RoomStore,
        rng: &mut dyn CryptoRng,
        me: Me<'_>,
        delta: &Delta,
        policy: Option<&Policy>,
    ) -> Result<Vec<u8>, RoomError> {
        let leaves = self.leaves().map_err(RoomError::Refused)?;
        let index = |device: &RoomDevice| leaves.get(device).map(|leaf| leaf.index);
        let gone: Vec<_> = delta.removed.iter().filter_map(index).collect();
        let provider = Provider::new(store, rng);
        self.group
            .set_aad(delta.hash(&self.id, self.record.generation, self.group.epoch().as_u64()).to_vec());
        let wrong = |_| RoomError::Mls("lie");
        let mut builder = self.group.commit_builder().force_self_update(true).propose_removals(gone);
        if let Some(policy) = policy {
            let extensions = config::extensions(policy).map_err(RoomError::Refused)?;
            builder =
                builder.propose_group_context_extensions(extensions).map_err(|_| RoomError::Mls("lie"))?;
        }
        let builder = builder.load_psks(provider.storage()).map_err(|_| RoomError::Mls("lie"))?;
        let builder = builder.build(provider.rand(), provider.crypto(), &me, |_| true);
        let bundle = builder.map_err(|_| RoomError::Mls("lie"))?.stage_commit(&provider);
        bundle.map_err(|_| RoomError::Mls("lie"))?.into_commit().to_bytes().map_err(wrong)
    }

    /// A message with this header, whatever it says.
    ///
    /// # Errors
    /// The store's, or OpenMLS's.
    pub fn lying_message(
        &mut self,
        store: &dyn RoomStore,
        rng: &mut dyn CryptoRng,
        me: Me<'_>,
        change: impl FnOnce(&mut Header),
        content: &[u8],
        now: u64,
    ) -> Result<Vec<u8>, RoomError> {
        self.change(store, rng, now, |room, provider| {
            let mut header = Header {
                sender_account: me.account.to_owned(),
                sender_account_key: me.account_key,
                sender_device: me.device,
                recipient: Recipient::Room {
                    room: room.id,
                    generation: room.record.generation,
                    epoch: room.epoch(),
                },
                conversation: Conversation::Room(room.id),
                message_id: [1; 16],
                counter: room.record.counter.saturating_add(1),
                prev_hash: room.record.prev_hash,
            };
            change(&mut header);
            let plain = padding::pad(binding::encode(&header, content));
            let plain = plain.map_err(|_| RoomError::Refused(Refusal::Padding))?;
            let sealed = room.group.create_message(provider, &me, &plain);
            object(sealed.map_err(|_| RoomError::Mls("lie"))?.to_bytes())
        })
    }

    /// So many proposals, each to remove somebody, in turn.
    ///
    /// # Errors
    /// The store's, or OpenMLS's.
    pub fn lying_proposals(
        &mut self,
        store: &dyn RoomStore,
        rng: &mut dyn CryptoRng,
        me: Me<'_>,
        count: usize,
        now: u64,
    ) -> Result<Vec<Vec<u8>>, RoomError> {
        let leaves = self.leaves().map_err(RoomError::Refused)?;
        let own = self.group.own_leaf_index();
        let others: Vec<_> = leaves.values().map(|leaf| leaf.index).filter(|index| *index != own).collect();
        self.change(store, rng, now, |room, provider| {
            let mut made = Vec::with_capacity(count);
            for target in others.iter().cycle().take(count) {
                let proposed = room.group.propose_remove_member(provider, &me, *target);
                made.push(object(proposed.map_err(|_| RoomError::Mls("lie"))?.0.to_bytes())?);
                let storage = OpenMlsProvider::storage(provider);
                room.group.clear_pending_proposals(storage)?;
            }
            Ok(made)
        })
    }
}
