//! People, devices, keys and envelopes to test with.

use std::sync::Arc;

use serde_bytes::ByteArray;
use subrosa_protocol::{
    BoundedBytes, BoundedStr, DeviceId, EnvelopeId, Username,
    frames::{OutgoingEnvelope, SignedList},
};

use crate::store::{
    Appended, Delivery, InviteHash, ListVersion, NewDevice, NewPrekey, NewPrekeys, Registered, Registration,
    Sender, Store, Timestamp,
};

pub(in crate::store) type AnyStore = Arc<dyn Store>;

/// Noon of a day.
pub(in crate::store) const NOW: Timestamp = 20_000 * DAY + DAY / 2;
/// Milliseconds.
pub(in crate::store) const DAY: Timestamp = 24 * 3600 * 1000;

pub(in crate::store) fn name(text: &str) -> Username {
    Username::new(text).unwrap()
}

pub(in crate::store) fn device(number: u32) -> DeviceId {
    DeviceId::new(number).unwrap()
}

/// A prekey that tells its kind and number.
pub(in crate::store) fn prekey<const N: usize>(kind: u8, key_id: u32) -> NewPrekey<ByteArray<N>> {
    let mut bytes = [kind; N];
    bytes[..4].copy_from_slice(&key_id.to_le_bytes());
    NewPrekey { key_id, bytes: ByteArray::new(bytes) }
}

/// The number that [`prekey`] wrote.
pub(in crate::store) fn number_of(bytes: &[u8]) -> u32 {
    u32::from_le_bytes(bytes[..4].try_into().unwrap())
}

pub(in crate::store) fn many<const N: usize>(
    kind: u8,
    numbers: std::ops::RangeInclusive<u32>,
) -> Vec<NewPrekey<ByteArray<N>>> {
    numbers.map(|number| prekey(kind, number)).collect()
}

/// Signed and last-resort prekey 1, and one-time prekeys 1 to `count` of each kind.
pub(in crate::store) fn prekeys(count: u32) -> NewPrekeys {
    NewPrekeys {
        signed: prekey(1, 1),
        last_resort: prekey(3, 1),
        one_time: many(2, 1..=count),
        kem: many(4, 1..=count),
    }
}

pub(in crate::store) fn list(version: u64, devices: &[u32]) -> ListVersion {
    let signed = SignedList {
        bytes: BoundedBytes::new(format!("list {version} of {devices:?}")).unwrap(),
        signature: ByteArray::new([version as u8; 64]),
    };
    ListVersion { version, devices: devices.iter().map(|number| device(*number)).collect(), signed }
}

pub(in crate::store) fn new_device(number: u32, one_time: u32) -> NewDevice {
    NewDevice { device: device(number), signing_key: [number as u8; 32], prekeys: prekeys(one_time) }
}

pub(in crate::store) fn registration(account: &str, invite: Option<InviteHash>) -> Registration {
    Registration {
        account: name(account),
        display_name: BoundedStr::new(format!("{account} the first")).unwrap(),
        account_key: [9; 32],
        opaque_record: format!("record of {account}").into_bytes(),
        list: list(1, &[1]),
        device: new_device(1, 3),
        invite,
        now: NOW,
    }
}

/// Registers an account with device 1.
pub(in crate::store) async fn join(store: &AnyStore, account: &str) {
    assert_eq!(store.register(registration(account, None)).await.unwrap(), Registered::Done);
}

pub(in crate::store) fn envelope(id: u128, size: usize) -> OutgoingEnvelope {
    let sealed: Vec<u8> = id.to_le_bytes().into_iter().cycle().take(size).collect();
    OutgoingEnvelope {
        id: EnvelopeId::from_bytes(id.to_le_bytes()),
        sealed: BoundedBytes::new(sealed).unwrap(),
    }
}

pub(in crate::store) fn envelopes(ids: std::ops::Range<u128>) -> Vec<OutgoingEnvelope> {
    ids.map(|id| envelope(id, 40)).collect()
}

/// From device 1 of one to device 1 of another, whose list has version 1.
pub(in crate::store) fn delivery(from: &str, to: &str, envelopes: Vec<OutgoingEnvelope>) -> Delivery {
    Delivery {
        to: name(to),
        device: device(1),
        list_version: 1,
        envelopes,
        sender: Sender { account: name(from), device: device(1), generation: 0 },
        now: NOW,
    }
}

/// Sends and answers the places that were given.
pub(in crate::store) async fn send(
    store: &AnyStore,
    from: &str,
    to: &str,
    envelopes: Vec<OutgoingEnvelope>,
) -> Vec<u64> {
    match store.append_envelopes(delivery(from, to, envelopes)).await.unwrap() {
        Appended::Accepted { fresh, .. } => fresh.iter().map(|envelope| envelope.seq).collect(),
        refused => panic!("{refused:?}"),
    }
}

/// Everything in the mailbox of somebody's device 1: places and ids.
pub(in crate::store) async fn mailbox(store: &AnyStore, account: &str) -> Vec<(u64, u128)> {
    let mut all = Vec::new();
    loop {
        let after = all.last().map_or(0, |(seq, _)| *seq);
        let page =
            store.fetch_mailbox(&name(account), device(1), after, 1000, usize::MAX).await.unwrap().unwrap();
        all.extend(page.envelopes.iter().map(|e| (e.seq, u128::from_le_bytes(*e.id.as_bytes()))));
        if !page.more {
            return all;
        }
    }
}
