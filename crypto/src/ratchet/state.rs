use rand_core::CryptoRng;
use subrosa_verify::labels;
use zeroize::Zeroizing;

use super::chain_key::ChainKey;
use super::error::RatchetError;
use super::header::{Header, SALT_LEN};
use super::limits::MAX_SKIP;
use super::message_key::TAG_LEN;
use super::receiving_chain::{ReceivingChain, ReceivingChains};
use super::root_key::RootKey;
use crate::dh::SecretKey;

/// The state of one session at one side (Double Ratchet, section 3.2).
///
/// Every method computes first and changes last, after its last possible failure: an error leaves the state as it
/// was (R16).
pub(crate) struct Ratchet {
    pub(super) root: RootKey,
    /// Our current ratchet key pair (`DHs`).
    pub(super) ours: SecretKey,
    /// Our sending chain (`CKs`, `Ns`); a responder has none before the first message.
    pub(super) sending: Option<SendingChain>,
    /// How many messages our previous sending chain held (`PN`).
    pub(super) previous: u32,
    /// The peer's chains (`DHr`, `CKr`, `Nr`, `MKSKIPPED`).
    pub(super) receiving: ReceivingChains,
}

pub(super) struct SendingChain {
    pub(super) key: ChainKey,
    /// The number of the next message.
    pub(super) next: u32,
}

/// A message in parts.
pub(crate) struct Incoming<'a> {
    /// What binds the message to its session (PQXDH's transcript hash).
    pub(crate) transcript: &'a [u8; 32],
    /// Every byte of the message before the ciphertext, the header included.
    pub(crate) before: &'a [u8],
    pub(crate) header: &'a Header,
    pub(crate) ciphertext: &'a [u8],
}

impl Ratchet {
    /// `RatchetInitAlice`: the initiator sends first, to the responder's signed prekey `theirs`.
    pub(crate) fn initiator(
        root: RootKey,
        theirs: &[u8; 32],
        rng: &mut impl CryptoRng,
    ) -> Result<Self, RatchetError> {
        let ours = SecretKey::generate(rng);
        let (root, key) = root.advance(&ours.agree(theirs)?);
        let sending = Some(SendingChain { key, next: 0 });
        Ok(Self { root, ours, sending, previous: 0, receiving: ReceivingChains::default() })
    }

    /// `RatchetInitBob`: the responder's first ratchet key pair is his signed prekey.
    pub(crate) fn responder(root: RootKey, signed_prekey: SecretKey) -> Self {
        Self { root, ours: signed_prekey, sending: None, previous: 0, receiving: ReceivingChains::default() }
    }

    /// `RatchetEncrypt` (section 3.4): appends header and ciphertext to `message`, whose bytes so far are
    /// authenticated with them.
    pub(crate) fn encrypt(
        &mut self,
        transcript: &[u8; 32],
        mut message: Vec<u8>,
        plaintext: &[u8],
        rng: &mut impl CryptoRng,
    ) -> Result<Vec<u8>, RatchetError> {
        let sending = self.sending.as_mut().ok_or(RatchetError::NoSendingChain)?;
        let next = sending.next.checked_add(1).ok_or(RatchetError::NoSendingChain)?;
        let mut salt = [0; SALT_LEN];
        rng.fill_bytes(&mut salt);
        let header =
            Header { ratchet_key: self.ours.public(), previous: self.previous, number: sending.next, salt };
        message.reserve(Header::LEN + plaintext.len() + TAG_LEN);
        header.encode(&mut message);
        let (key, message_key) = sending.key.step();
        let associated = associated_data(transcript, &message);
        message_key
            .seal_into(&salt, &associated, plaintext, &mut message)
            .ok_or(RatchetError::NoSendingChain)?;
        *sending = SendingChain { key, next };
        Ok(message)
    }

    /// `RatchetDecrypt` (section 3.5): costs at most two Diffie-Hellman computations and the derivation of
    /// `MAX_SKIP` + 1 message keys, whatever the message says.
    pub(crate) fn decrypt(
        &mut self,
        incoming: &Incoming<'_>,
        now: u64,
        rng: &mut impl CryptoRng,
    ) -> Result<Zeroizing<Vec<u8>>, RatchetError> {
        let header = incoming.header;
        let associated = associated_data(incoming.transcript, incoming.before);
        match self.receiving.find(&header.ratchet_key) {
            None => self.decrypt_in_new_chain(incoming, &associated, now, rng),
            Some(chain) if header.number < chain.next => {
                let key = chain.waiting(header.number, now).ok_or(RatchetError::Duplicate)?;
                let plaintext = key.open(&header.salt, &associated, incoming.ciphertext)?;
                if let Some(chain) = self.receiving.find_mut(&header.ratchet_key) {
                    chain.forget(header.number);
                }
                Ok(plaintext)
            }
            Some(_) => self.decrypt_ahead(incoming, &associated, now),
        }
    }

    /// A message at or after the end of a chain that is known.
    fn decrypt_ahead(
        &mut self,
        incoming: &Incoming<'_>,
        associated: &[u8],
        now: u64,
    ) -> Result<Zeroizing<Vec<u8>>, RatchetError> {
        let header = incoming.header;
        let chain = self.receiving.find_mut(&header.ratchet_key).ok_or(RatchetError::Corrupt)?;
        let key = chain.key.as_ref().ok_or(RatchetError::Corrupt)?;
        let skip = header.number - chain.next;
        if skip > MAX_SKIP {
            return Err(RatchetError::TooManySkipped);
        }
        let after = header.number.checked_add(1).ok_or(RatchetError::Corrupt)?;
        let walk = key.walk(skip);
        let plaintext = walk.message.open(&header.salt, associated, incoming.ciphertext)?;
        chain.keep_skipped(walk.skipped, now);
        chain.key = Some(walk.next);
        chain.next = after;
        self.receiving.enforce_limit();
        Ok(plaintext)
    }

    /// `DHRatchet`: a message under a ratchet key that was not seen.
    fn decrypt_in_new_chain(
        &mut self,
        incoming: &Incoming<'_>,
        associated: &[u8],
        now: u64,
        rng: &mut impl CryptoRng,
    ) -> Result<Zeroizing<Vec<u8>>, RatchetError> {
        let header = incoming.header;
        let ended = self.receiving.newest().map_or(0, |chain| header.previous.saturating_sub(chain.next));
        if ended.saturating_add(header.number) > MAX_SKIP {
            return Err(RatchetError::TooManySkipped);
        }
        let (root, key) = self.root.advance(&self.ours.agree(&header.ratchet_key)?);
        let walk = key.walk(header.number);
        let plaintext = walk.message.open(&header.salt, associated, incoming.ciphertext)?;
        let ours = SecretKey::generate(rng);
        let (root, sending_key) = root.advance(&ours.agree(&header.ratchet_key)?);

        if let Some(chain) = self.receiving.newest_mut()
            && let Some(key) = chain.key.take()
        {
            let (_, skipped) = key.skip(ended);
            chain.keep_skipped(skipped, now);
        }
        let mut chain = ReceivingChain::new(header.ratchet_key, walk.next);
        chain.keep_skipped(walk.skipped, now);
        chain.next = header.number.saturating_add(1);
        self.receiving.push(chain);
        self.receiving.enforce_limit();
        self.previous = self.sending.as_ref().map_or(0, |sending| sending.next);
        self.sending = Some(SendingChain { key: sending_key, next: 0 });
        self.root = root;
        self.ours = ours;
        Ok(plaintext)
    }

    /// Drops the skipped keys that are older than 30 days.
    pub(crate) fn expire(&mut self, now: u64) {
        self.receiving.expire(now);
    }
}

/// The AEAD's associated data: label, a zero byte, the session's transcript hash, and every byte before the ciphertext.
fn associated_data(transcript: &[u8; 32], before: &[u8]) -> Vec<u8> {
    [labels::AEAD_SESSION_MESSAGE.as_bytes(), &[0], transcript, before].concat()
}

#[cfg(test)]
impl Ratchet {
    pub(crate) fn skipped_keys(&self) -> usize {
        self.receiving.skipped_keys()
    }

    /// As if this many messages had been sent in the current chain.
    pub(crate) fn set_sent(&mut self, count: u32) {
        self.sending.as_mut().unwrap().next = count;
    }
}
