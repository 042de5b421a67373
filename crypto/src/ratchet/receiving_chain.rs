use std::collections::VecDeque;

use super::chain_key::ChainKey;
use super::limits::{MAX_RECEIVING_CHAINS, MAX_SKIPPED_KEYS, SKIPPED_KEY_LIFETIME_MS};
use super::message_key::MessageKey;

/// One chain of the peer: messages sent under one ratchet key of theirs.
pub(super) struct ReceivingChain {
    /// The peer's ratchet public key, 32 bytes.
    pub(super) ratchet_key: [u8; 32],
    /// The key of message `next`; `None` once the peer's next chain told how long this one was, so that nothing later
    /// can be derived any more (Double Ratchet, section 8.10).
    pub(super) key: Option<ChainKey>,
    /// The number after the highest one whose key was derived.
    pub(super) next: u32,
    /// Keys of messages that have not come, by ascending number, all below `next`.
    pub(super) skipped: VecDeque<SkippedKey>,
}

/// The key of a message that has not come.
pub(super) struct SkippedKey {
    pub(super) number: u32,
    /// When it was stored, ms since the epoch.
    pub(super) stored_at: u64,
    pub(super) key: MessageKey,
}

/// The receiving chains of a session, oldest first; only the newest is open.
#[derive(Default)]
pub(super) struct ReceivingChains(pub(super) VecDeque<ReceivingChain>);

impl ReceivingChain {
    /// A chain that starts with `key` and whose first messages, up to `next`, were skipped.
    pub(super) fn new(ratchet_key: [u8; 32], key: ChainKey) -> Self {
        Self { ratchet_key, key: Some(key), next: 0, skipped: VecDeque::new() }
    }

    /// The key that waits for message `number`, unless it is older than 30 days.
    pub(super) fn waiting(&self, number: u32, now: u64) -> Option<&MessageKey> {
        let at = self.skipped.binary_search_by_key(&number, |skipped| skipped.number).ok()?;
        self.skipped.get(at).filter(|skipped| skipped.is_alive(now)).map(|skipped| &skipped.key)
    }

    /// Forgets the key of message `number`.
    pub(super) fn forget(&mut self, number: u32) {
        if let Ok(at) = self.skipped.binary_search_by_key(&number, |skipped| skipped.number) {
            self.skipped.remove(at);
        }
    }

    /// Keeps `keys`, which belong to the messages from `next` on, and counts them as passed.
    pub(super) fn keep_skipped(&mut self, keys: Vec<MessageKey>, now: u64) {
        for key in keys {
            self.skipped.push_back(SkippedKey { number: self.next, stored_at: now, key });
            self.next = self.next.saturating_add(1);
        }
    }
}

impl SkippedKey {
    fn is_alive(&self, now: u64) -> bool {
        now.saturating_sub(self.stored_at) <= SKIPPED_KEY_LIFETIME_MS
    }
}

impl ReceivingChains {
    pub(super) fn find(&self, ratchet_key: &[u8; 32]) -> Option<&ReceivingChain> {
        self.0.iter().find(|chain| chain.ratchet_key == *ratchet_key)
    }

    pub(super) fn find_mut(&mut self, ratchet_key: &[u8; 32]) -> Option<&mut ReceivingChain> {
        self.0.iter_mut().find(|chain| chain.ratchet_key == *ratchet_key)
    }

    pub(super) fn newest(&self) -> Option<&ReceivingChain> {
        self.0.back()
    }

    pub(super) fn newest_mut(&mut self) -> Option<&mut ReceivingChain> {
        self.0.back_mut()
    }

    /// Adds the peer's next chain; the sixth drops the oldest with its skipped keys.
    pub(super) fn push(&mut self, chain: ReceivingChain) {
        self.0.push_back(chain);
        while self.0.len() > MAX_RECEIVING_CHAINS {
            self.0.pop_front();
        }
    }

    pub(super) fn skipped_keys(&self) -> usize {
        self.0.iter().map(|chain| chain.skipped.len()).sum()
    }

    /// Drops the oldest skipped keys until no more than 2,000 are left. Keys are only ever added to the newest chain
    /// and at its end, so the first of the oldest chain is the oldest of all.
    pub(super) fn enforce_limit(&mut self) {
        let mut excess = self.skipped_keys().saturating_sub(MAX_SKIPPED_KEYS);
        for chain in &mut self.0 {
            let here = excess.min(chain.skipped.len());
            chain.skipped.drain(..here);
            excess -= here;
        }
    }

    /// Drops the skipped keys that are older than 30 days.
    pub(super) fn expire(&mut self, now: u64) {
        for chain in &mut self.0 {
            chain.skipped.retain(|skipped| skipped.is_alive(now));
        }
    }
}
