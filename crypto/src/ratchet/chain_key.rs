use subrosa_verify::labels;

use super::message_key::MessageKey;
use crate::kdf::{self, Key32};

/// The key of a sending or receiving chain, 32 bytes (Double Ratchet, section 2.2).
#[derive(Clone)]
pub(super) struct ChainKey(pub(super) Key32);

/// What walking along a chain gives: the chain key after the message, the key of the message, and the keys of the
/// messages before it, in order.
pub(super) struct Walk {
    pub(super) next: ChainKey,
    pub(super) message: MessageKey,
    pub(super) skipped: Vec<MessageKey>,
}

impl ChainKey {
    /// `KDF_CK`: the next chain key and a message key, both by HMAC-SHA-256 under this key.
    pub(super) fn step(&self) -> (Self, MessageKey) {
        #[cfg(any(test, feature = "ledger"))]
        super::ledger::record_step();
        let [next, message] = kdf::hmac_pair(&self.0, [labels::KDF_CHAIN_KEY, labels::KDF_MESSAGE_KEY]);
        (Self(next), MessageKey(message))
    }

    /// Steps over `count` messages, keeping their keys, and on to the next one. The caller bounds `count`.
    pub(super) fn walk(&self, count: u32) -> Walk {
        if count == 0 {
            let (next, message) = self.step();
            return Walk { next, message, skipped: Vec::new() };
        }
        let (key, skipped) = self.skip(count);
        let (next, message) = key.step();
        Walk { next, message, skipped }
    }

    /// Steps over `count` messages, keeping their keys. The caller bounds `count`.
    pub(super) fn skip(&self, count: u32) -> (Self, Vec<MessageKey>) {
        let mut key = self.clone();
        let mut skipped = Vec::with_capacity(count as usize);
        for _ in 0..count {
            let (next, message) = key.step();
            skipped.push(message);
            key = next;
        }
        (key, skipped)
    }
}
