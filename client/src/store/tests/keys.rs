use std::convert::Infallible;

use rand_core::{TryCryptoRng, TryRng};
use sha2::{Digest, Sha256};
use subrosa_crypto::{
    account::AccountSecret,
    device::DeviceSecrets,
    prekeys::generate_prekey,
    verify::{
        device_list::{DeviceList, SignedDeviceList},
        prekey::PrekeyKind,
    },
};
use zeroize::Zeroizing;

use super::*;
use crate::{
    api::{ContactState, Trust},
    store::{
        ChangedKey, Claim, Counter, Evidence, HeldFor, Identity, IdentityKeys, NewPending, Peer, Progress,
        StoreError, limits,
    },
};

/// Repeatable randomness.
pub(super) struct Seeded(u64);

impl Seeded {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed << 32)
    }
}

impl TryRng for Seeded {
    type Error = Infallible;
    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        self.try_next_u64().map(|n| n as u32)
    }
    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }
    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        for chunk in out.chunks_mut(32) {
            self.0 += 1;
            chunk.copy_from_slice(&Sha256::digest(self.0.to_le_bytes())[..chunk.len()]);
        }
        Ok(())
    }
}

impl TryCryptoRng for Seeded {}

pub(super) fn identity(progress: Progress) -> Identity {
    let mut rng = Seeded::new(1);
    let account = AccountSecret::generate(&mut rng).0;
    Identity {
        account: name("alice"),
        display_name: SafeText::name("Alice"),
        relay: "rosa://relay.example".parse().unwrap(),
        account_key: account.public(),
        device: device(3),
        keys: Some(IdentityKeys { account, device: DeviceSecrets::generate(&mut rng) }),
        progress,
    }
}

fn list_of(account: &str, version: u64) -> SignedDeviceList {
    let secret = AccountSecret::from_bytes(&[9; 32]).unwrap();
    let list = DeviceList {
        account: account.into(),
        account_key: secret.public(),
        version,
        prev_hash: if version == 1 { [0; 32] } else { [4; 32] },
        next_device_id: 2,
        devices: vec![DeviceSecrets::generate(&mut Seeded::new(version)).entry(1, 5)],
    };
    secret.sign_device_list(&list).unwrap()
}

#[test]
fn an_identity_comes_back_with_its_secrets() {
    let mut store = store();
    assert!(look(&store, |tx| tx.identity()).is_none());
    assert!(matches!(
        store.transaction(|tx| tx.set_progress(&Progress::Ready)),
        Err(StoreError::Missing("identity"))
    ));
    let original = identity(Progress::Joining(Zeroizing::new(b"half way".to_vec())));
    change(&mut store, |tx| tx.put_identity(&original));
    let stored = look(&store, |tx| tx.identity()).unwrap();
    assert_eq!(
        (stored.account.as_str(), &*stored.display_name, stored.device),
        ("alice", "Alice", device(3))
    );
    assert_eq!((stored.relay, stored.account_key), (original.relay, original.account_key));
    let (was, is) = (original.keys.unwrap(), stored.keys.unwrap());
    assert_eq!(was.account.to_bytes(), is.account.to_bytes());
    assert_eq!(was.device.to_bytes(), is.device.to_bytes());
    assert!(matches!(stored.progress, Progress::Joining(bytes) if bytes.as_slice() == b"half way"));

    for (progress, is) in [
        (Progress::Ready, (|p| matches!(p, Progress::Ready)) as fn(&Progress) -> bool),
        (Progress::Quarantined, |p| matches!(p, Progress::Quarantined)),
        (Progress::LoggedOut, |p| matches!(p, Progress::LoggedOut)),
    ] {
        change(&mut store, |tx| tx.set_progress(&progress));
        assert!(is(&look(&store, |tx| tx.identity()).unwrap().progress));
    }
    let long = Progress::Joining(Zeroizing::new(vec![0; limits::JOINING_BYTES + 1]));
    assert!(store.transaction(|tx| tx.set_progress(&long)).is_err());
}

#[test]
fn logging_out_leaves_no_key_and_keeps_messages() {
    let mut store = store();
    let bob = name("bob");
    change(&mut store, |tx| {
        tx.put_identity(&identity(Progress::Ready))?;
        tx.insert_message(&text(1, "bob", "kept"))?;
        tx.insert_message(&text(2, "alice", "not sent"))?;
        tx.insert_message(&NewMessage { state: MessageState::Accepted, ..text(3, "alice", "sent") })?;
        tx.put_session(&bob, device(1), b"record", 1)?;
        tx.record_incoming(&bob, device(1), 3, &[0; 32])?;
        tx.advance_outgoing(&bob, device(1), &[0; 32])?;
        tx.set_mailbox_cursor(8)?;
        tx.see_envelope(envelope(1), 1)?;
        let keys = DeviceSecrets::generate(&mut Seeded::new(2));
        let (secret, public) =
            generate_prekey(PrekeyKind::OneTimeEc, 1, &keys, "alice", 3, 5, &mut Seeded::new(3));
        tx.put_prekey(&secret, &public)?;
        tx.push_pending(&NewPending {
            account: &bob,
            device: None,
            chat: &bob,
            content: b"c",
            message: id(1),
            reason: HeldFor::Request,
            queued_at: 1,
        })?;
        tx.forget_keys()
    });
    look(&store, |tx| {
        let identity = tx.identity()?.unwrap();
        assert!(identity.keys.is_none() && matches!(identity.progress, Progress::LoggedOut));
        assert_eq!(tx.session(&bob, device(1))?, None);
        assert_eq!(tx.prekey_counts(PrekeyKind::OneTimeEc)?.kept, 0);
        assert_eq!((tx.mailbox_cursor()?, tx.pending_count()?), (0, 0));
        assert_eq!(tx.incoming_chain(&bob, device(1))?, Default::default());
        assert_eq!(tx.outgoing_chain(&bob, device(1))?, Default::default());
        assert!(!tx.envelope_seen(envelope(1))?);
        assert_eq!(tx.message(id(1))?.unwrap().state, MessageState::Received);
        let unsent = tx.message(id(2))?.unwrap();
        assert_eq!(unsent.state, MessageState::Failed, "it waits for nothing any more");
        assert!(unsent.reason.unwrap().contains("logged out"));
        assert_eq!(tx.message(id(3))?.unwrap().state, MessageState::Accepted);
        Ok(())
    });
}

#[test]
fn r23_the_generation_rises_once_a_transaction_that_changes_ratchet_state() {
    let mut store = store();
    let (bob, one) = (name("bob"), device(1));
    let raised = change(&mut store, |tx| {
        tx.put_session(&bob, one, b"a", 1)?;
        tx.advance_outgoing(&bob, one, &[0; 32])?;
        tx.put_session(&bob, one, b"b", 1)?;
        tx.raise_generation()
    });
    assert_eq!((raised, look(&store, |tx| tx.generation())), (1, 1));
    change(&mut store, |tx| tx.insert_message(&text(1, "bob", "no ratchet")).map(drop));
    assert_eq!(look(&store, |tx| tx.generation()), 1);

    let failed: Result<()> = store.transaction(|tx| {
        tx.put_session(&bob, one, b"lost", 1)?;
        Err(StoreError::Missing("anything"))
    });
    assert!(failed.is_err());
    look(&store, |tx| {
        assert_eq!(tx.generation()?, 1);
        assert_eq!(tx.session(&bob, one)?.unwrap().as_slice(), b"b");
        Ok(())
    });

    // The part that raised it is undone, then another one changes something: it rises all the same.
    change(&mut store, |tx| {
        let part: Result<()> = tx.attempt(|tx| {
            tx.put_session(&bob, one, b"undone", 1)?;
            Err(StoreError::Missing("anything"))
        });
        assert!(part.is_err());
        assert_eq!(tx.generation()?, 1);
        tx.attempt(|tx| tx.delete_session(&bob, one)).map(drop)
    });
    assert_eq!(look(&store, |tx| tx.generation()), 2);
    assert!(!change(&mut store, |tx| tx.delete_session(&bob, one)));
    assert_eq!(look(&store, |tx| tx.generation()), 2, "nothing changed");
}

#[test]
fn nested_parts_fail_alone() {
    let mut store = store();
    change(&mut store, |tx| {
        tx.set_setting("outer", Some("1"))?;
        tx.attempt(|tx| {
            tx.set_setting("middle", Some("1"))?;
            let inner: Result<()> = tx.attempt(|tx| {
                tx.set_setting("inner", Some("1"))?;
                Err(StoreError::Missing("anything"))
            });
            assert!(inner.is_err());
            Ok::<_, StoreError>(())
        })
    });
    let names: Vec<String> = look(&store, |tx| tx.settings()).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["middle", "outer"]);
    change(&mut store, |tx| tx.set_setting("outer", None));
    assert_eq!(look(&store, |tx| tx.setting("outer")), None);
    let long = "v".repeat(limits::SETTING_BYTES + 1);
    assert!(store.transaction(|tx| tx.set_setting("s", Some(&long))).is_err());
}

#[test]
fn reading_changes_nothing() {
    let store = store();
    look(&store, |tx| tx.set_setting("s", Some("1")));
    assert_eq!(look(&store, |tx| tx.setting("s")), None);
}

#[test]
fn r21_prekeys_are_stored_first_uploaded_identically_and_used_once() {
    let mut store = store();
    let keys = DeviceSecrets::generate(&mut Seeded::new(1));
    let mut rng = Seeded::new(2);
    let first = change(&mut store, |tx| tx.take_prekey_ids(3));
    assert_eq!((first, change(&mut store, |tx| tx.take_prekey_ids(2))), (1, 4), "ids are never taken twice");
    let mut public = Vec::new();
    for key_id in first..first + 3 {
        let (secret, prekey) =
            generate_prekey(PrekeyKind::OneTimeKem, key_id, &keys, "alice", 1, 10, &mut rng);
        change(&mut store, |tx| tx.put_prekey(&secret, &prekey));
        assert_eq!(
            look(&store, |tx| tx.prekey(PrekeyKind::OneTimeKem, key_id)).unwrap().to_bytes(),
            secret.to_bytes()
        );
        public.push(prekey);
    }
    assert_eq!(look(&store, |tx| tx.unpublished_prekeys(PrekeyKind::OneTimeKem, 100)), public);
    assert_eq!(look(&store, |tx| tx.unpublished_prekeys(PrekeyKind::OneTimeKem, 2)), public[..2]);
    change(&mut store, |tx| tx.prekeys_published(PrekeyKind::OneTimeKem, &[1, 2]));
    assert_eq!(look(&store, |tx| tx.unpublished_prekeys(PrekeyKind::OneTimeKem, 100)), public[2..]);
    let counts = look(&store, |tx| tx.prekey_counts(PrekeyKind::OneTimeKem));
    assert_eq!((counts.kept, counts.unpublished), (3, 1));
    assert!(change(&mut store, |tx| tx.delete_prekey(PrekeyKind::OneTimeKem, 2)));
    assert!(!change(&mut store, |tx| tx.delete_prekey(PrekeyKind::OneTimeKem, 2)));
    assert!(look(&store, |tx| tx.prekey(PrekeyKind::OneTimeKem, 2)).is_none());
    assert!(look(&store, |tx| tx.prekey(PrekeyKind::OneTimeEc, 1)).is_none());
    let (secret, again) = generate_prekey(PrekeyKind::OneTimeKem, 1, &keys, "alice", 1, 10, &mut rng);
    assert!(store.transaction(|tx| tx.put_prekey(&secret, &again)).is_err(), "an id has one key");
}

#[test]
fn r36_replaced_prekeys_are_kept_30_days() {
    let mut store = store();
    let keys = DeviceSecrets::generate(&mut Seeded::new(1));
    let mut make = |kind, key_id, at| {
        let (secret, prekey) = generate_prekey(kind, key_id, &keys, "alice", 1, at, &mut Seeded::new(at));
        change(&mut store, |tx| tx.put_prekey(&secret, &prekey));
        secret.expires_at
    };
    make(PrekeyKind::SignedEc, 1, 1_000);
    make(PrekeyKind::SignedEc, 2, 2_000);
    let one_time_ends = make(PrekeyKind::OneTimeEc, 3, 1_000) + limits::EXPIRED_PREKEY_KEPT_MS;
    assert_eq!(look(&store, |tx| tx.newest_prekey(PrekeyKind::SignedEc)), Some((2, 2_000)));
    let end = 2_000 + limits::REPLACED_PREKEY_KEPT_MS;
    change(&mut store, |tx| tx.expire(end - 1));
    assert!(look(&store, |tx| tx.prekey(PrekeyKind::SignedEc, 1)).is_some());
    change(&mut store, |tx| tx.expire(end));
    assert!(look(&store, |tx| tx.prekey(PrekeyKind::SignedEc, 1)).is_none());
    assert!(look(&store, |tx| tx.prekey(PrekeyKind::SignedEc, 2)).is_some(), "the current one stays");
    change(&mut store, |tx| tx.expire(one_time_ends - 1));
    assert!(look(&store, |tx| tx.prekey(PrekeyKind::OneTimeEc, 3)).is_some());
    change(&mut store, |tx| tx.expire(one_time_ends));
    assert!(look(&store, |tx| tx.prekey(PrekeyKind::OneTimeEc, 3)).is_none());
}

#[test]
fn r15_base_keys_are_remembered_60_days() {
    let mut store = store();
    change(&mut store, |tx| tx.remember_base_key(&name("bob"), device(1), &[1; 32], 100));
    let seen = |store: &Store, who, key| look(store, |tx| tx.base_key_seen(who, 1, &key));
    assert!(seen(&store, "bob", [1; 32]));
    assert!(!seen(&store, "bob", [2; 32]) && !seen(&store, "carol", [1; 32]));
    change(&mut store, |tx| tx.expire(99 + limits::BASE_KEYS_KEPT_MS));
    assert!(seen(&store, "bob", [1; 32]));
    change(&mut store, |tx| tx.expire(100 + limits::BASE_KEYS_KEPT_MS));
    assert!(!seen(&store, "bob", [1; 32]));
}

#[test]
fn peers_keep_the_key_first_seen_and_a_changed_one_beside_it() {
    let mut store = store();
    let bob = name("bob");
    let mut peer = Peer::new(bob.clone(), 50);
    change(&mut store, |tx| tx.put_peer(&peer));
    assert_eq!(look(&store, |tx| tx.peer(&bob)), Some(peer.clone()));
    assert_eq!(look(&store, |tx| tx.contact(&bob)), None, "known, and no contact");
    peer.account_key = Some([1; 32]);
    peer.changed = Some(ChangedKey { account_key: [2; 32], list: list_of("bob", 1) });
    peer.contact = Some(ContactState::RequestSent);
    peer.trust = Trust::Changed;
    peer.request_used = true;
    peer.display_name = SafeText::name("Bob");
    assert!(peer.is_stopped());
    change(&mut store, |tx| tx.put_peer(&peer));
    assert_eq!(look(&store, |tx| tx.peer(&bob)), Some(peer));
    change(&mut store, |tx| tx.put_device_list(&bob, &list_of("bob", 1), 7).map(drop));
    let contact = look(&store, |tx| tx.contact(&bob)).unwrap();
    assert_eq!(
        (contact.state, contact.trust, contact.devices),
        (ContactState::RequestSent, Trust::Changed, vec![1])
    );
    look(&store, |tx| {
        assert_eq!((tx.contacts()?.len(), tx.peers()?.len()), (1, 1));
        assert_eq!(tx.contact_count(ContactState::RequestSent)?, 1);
        assert_eq!(tx.chats()?.len(), 1, "a contact has a chat");
        Ok(())
    });
}

#[test]
fn device_lists_keep_their_head_and_evidence_is_bounded() {
    let mut store = store();
    let bob = name("bob");
    let (one, two) = (list_of("bob", 1), list_of("bob", 2));
    change(&mut store, |tx| tx.put_device_list(&bob, &one, 5).map(drop));
    change(&mut store, |tx| tx.device_list_confirmed(&bob, 9));
    let known = look(&store, |tx| tx.device_list(&bob)).unwrap();
    assert_eq!((known.list.version, known.hash, known.fetched_at), (1, known.list.hash(), 9));
    assert_eq!(known.signed, one);
    let of_other = store.transaction(|tx| tx.put_device_list(&name("carol"), &one, 5));
    assert!(matches!(of_other, Err(StoreError::Corrupt(_))));
    change(&mut store, |tx| tx.put_device_list(&bob, &two, 6).map(drop));
    assert_eq!(look(&store, |tx| tx.device_list(&bob)).unwrap().list.version, 2);

    let shown =
        Evidence { account: bob.clone(), found_at: 3, ours: one.clone(), theirs: Some(two), claim: None };
    let claim = Claim { by: name("carol"), device: device(4), version: 2, hash: [8; 32] };
    let told = Evidence { theirs: None, claim: Some(claim), ..shown.clone() };
    change(&mut store, |tx| tx.put_evidence(&shown));
    for _ in 1..limits::EVIDENCE_PER_ACCOUNT {
        assert!(change(&mut store, |tx| tx.put_evidence(&told)));
    }
    assert!(!change(&mut store, |tx| tx.put_evidence(&told)));
    let kept = look(&store, |tx| tx.evidence(&bob));
    assert_eq!((&kept[0], &kept[1]), (&shown, &told));
    change(&mut store, |tx| tx.delete_device_list(&bob));
    assert!(look(&store, |tx| tx.device_list(&bob)).is_none());
}

#[test]
fn sessions_belong_to_devices() {
    let mut store = store();
    let bob = name("bob");
    for number in [2, 1] {
        change(&mut store, |tx| tx.put_session(&bob, device(number), &[number as u8], 1));
    }
    look(&store, |tx| {
        assert_eq!(tx.session(&bob, device(2))?.unwrap().as_slice(), [2]);
        assert_eq!(tx.session_devices(&bob)?, [device(1), device(2)]);
        assert_eq!(tx.healed_at(&bob, device(1))?, None);
        Ok(())
    });
    change(&mut store, |tx| tx.set_healed(&bob, device(1), 88));
    assert_eq!(look(&store, |tx| tx.healed_at(&bob, device(1))), Some(88));
    let large = vec![0; limits::SESSION_BYTES + 1];
    assert!(store.transaction(|tx| tx.put_session(&bob, device(1), &large, 1)).is_err());
    assert_eq!(change(&mut store, |tx| tx.delete_sessions(&bob)), 2);
}

#[test]
fn counters_count() {
    let mut store = store();
    for counter in Counter::ALL {
        change(&mut store, |tx| tx.count(*counter));
    }
    change(&mut store, |tx| tx.count(Counter::DiscardedMismatch));
    assert_eq!(look(&store, |tx| tx.counted(Counter::DiscardedMismatch)), 2);
    let unusable = |c: &&Counter| c.name().starts_with("discarded_") || **c == Counter::Undecryptable;
    let discarded = Counter::ALL.iter().filter(unusable).count() as u64;
    assert_eq!(look(&store, |tx| tx.discarded()), discarded + 1);
}
