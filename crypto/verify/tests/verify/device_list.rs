//! Device lists: golden bytes, one encoding, the signature and the chain (R28).

use crate::common::*;
use proptest::prelude::*;
use subrosa_verify::canonical::Malformed;
use subrosa_verify::device_list::{
    DeviceList, DeviceListError, MAX_BYTES, MAX_DEVICES, SignedDeviceList, follow,
};

#[test]
fn r28_golden_lists_parse_verify_and_follow() {
    let parsed: Vec<DeviceList> = ["device_list_1", "device_list_2"]
        .map(|name| {
            let bytes = golden(name);
            let signature = golden(&format!("{name}_signature")).try_into().unwrap();
            let list = SignedDeviceList { bytes: bytes.clone(), signature }.verify("alice").unwrap();
            assert_eq!(list.to_bytes(), bytes);
            list
        })
        .into();
    assert_eq!(parsed[0].hash()[..], golden("device_list_1_hash"));
    assert_eq!(parsed[1].check_follows(&parsed[0]), Ok(()));
    assert_eq!(parsed[1].device(2).unwrap().added_at, 2000);
}

#[test]
fn the_longest_list_is_as_long_as_its_constant() {
    let most = DeviceList { account: "a".repeat(32), ..list(&[1, 2, 3, 4, 5, 6]) };
    assert_eq!(most.to_bytes().len(), MAX_BYTES);
    assert_eq!(DeviceList::parse(&most.to_bytes()), Ok(most));
}

#[test]
fn r28_lists_that_break_a_rule_are_refused() {
    let good = list(&[1, 2]);
    let malformed = |field| Err(DeviceListError::Malformed(Malformed::Field(field)));
    let with = |change: &dyn Fn(&mut DeviceList)| {
        let mut list = good.clone();
        change(&mut list);
        assert_eq!(list.check(), DeviceList::parse(&list.to_bytes()).map(drop), "check and parse agree");
        list.check()
    };
    assert_eq!(with(&|_| ()), Ok(()));
    assert_eq!(with(&|l| l.account = "al".into()), Err(Malformed::Account.into()));
    assert_eq!(with(&|l| l.account = "a".repeat(33)), Err(Malformed::Account.into()));
    assert_eq!(with(&|l| l.version = 0), malformed("version"));
    assert_eq!(with(&|l| l.version = 2), malformed("version"));
    assert_eq!(with(&|l| l.prev_hash = [1; 32]), malformed("version"));
    assert_eq!(with(&|l| l.next_device_id = 2), malformed("device_id"));
    assert_eq!(with(&|l| l.devices[0].device_id = 0), malformed("device_id"));
    assert_eq!(with(&|l| l.devices[0].device_id = 2), malformed("device_id"));
    assert_eq!(with(&|l| l.devices.swap(0, 1)), malformed("device_id"));
    assert_eq!(list(&[1, 2, 3, 4, 5, 6, 7]).check(), malformed("devices"));
    assert_eq!(DeviceList::parse(&list(&[1, 2, 3, 4, 5, 6, 7]).to_bytes()).map(drop), malformed("devices"));
    assert_eq!(list(&[1, 2, 3, 4, 5, 6]).devices.len(), MAX_DEVICES);
    with(&|l| (l.devices, l.next_device_id) = (vec![], 1)).expect("no device at all is a list");
    assert_eq!(with(&|l| (l.devices, l.next_device_id) = (vec![], 0)), malformed("next_device_id"));
}

#[test]
fn r11_weak_and_repeated_keys_are_refused() {
    let mut low = [0; 32];
    low[0] = 1;
    let good = list(&[1, 2]);
    let changes: [&dyn Fn(&mut DeviceList); 9] = [
        &|l| l.devices[1].identity_key = low,
        &|l| l.devices[1].sealing_key = low,
        &|l| l.devices[1].signing_key = low,
        &|l| l.account_key = low,
        &|l| l.devices[1].sealing_key = l.devices[1].identity_key,
        &|l| l.devices[1].sealing_key = l.devices[0].sealing_key,
        &|l| l.devices[1].identity_key = l.devices[0].sealing_key,
        &|l| l.devices[1].signing_key = l.devices[0].signing_key,
        &|l| l.devices[1].signing_key = l.account_key,
    ];
    for (i, change) in changes.iter().enumerate() {
        let mut list = good.clone();
        change(&mut list);
        assert_eq!(list.check(), Err(DeviceListError::Key), "change {i}");
    }
}

#[test]
fn r28_only_the_account_key_signs() {
    let list = list(&[1]);
    let good = signed(&list);
    assert_eq!(good.verify("alice"), Ok(list.clone()));
    assert_eq!(good.verify("bob"), Err(DeviceListError::OtherAccount));
    for bit in 0..good.bytes.len() * 8 {
        let mut bad = good.clone();
        bad.bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(bad.verify("alice").is_err(), "bit {bit}");
    }
    let by_a_device = sign(1, subrosa_verify::labels::SIGN_DEVICE_LIST, &good.bytes).0;
    let bad = SignedDeviceList { signature: by_a_device, ..good.clone() };
    assert_eq!(bad.verify("alice"), Err(DeviceListError::Signature));
    let other_label = sign(ACCOUNT, subrosa_verify::labels::SIGN_REGISTRATION, &good.bytes).0;
    let bad = SignedDeviceList { signature: other_label, ..good };
    assert_eq!(bad.verify("alice"), Err(DeviceListError::Signature));
}

#[test]
fn r28_a_list_follows_the_one_before_and_no_other() {
    let one = list(&[1, 2]);
    let added = next(&one, &[1, 2, 3]);
    let removed = next(&added, &[1, 3]);
    assert_eq!(added.check_follows(&one), Ok(()));
    assert_eq!(removed.check_follows(&added), Ok(()));
    assert_eq!(next(&removed, &[]).check_follows(&removed), Ok(()));

    // Rollback: the same list again, an older one, one that skips a version.
    let version = |expected, got| Err(DeviceListError::Version { expected, got });
    assert_eq!(added.check_follows(&added), version(3, 2));
    assert_eq!(one.check_follows(&removed), version(4, 1));
    assert_eq!(removed.check_follows(&one), version(2, 3));
    // Fork: another list of the same version stands in between.
    let fork = next(&next(&one, &[1]), &[1, 3]);
    assert_eq!(fork.check_follows(&added), Err(DeviceListError::Forked));
    // Another account or account key.
    let other = DeviceList { account: "bob".into(), ..added.clone() };
    assert_eq!(other.check_follows(&one), Err(DeviceListError::OtherAccount));
    let new_key = DeviceList { account_key: public(201).0, ..added.clone() };
    assert_eq!(new_key.check_follows(&one), Err(DeviceListError::AccountKeyChanged));
    // The end of numbers is not a way around.
    let last = DeviceList { version: u64::MAX, prev_hash: [1; 32], ..one.clone() };
    let after = DeviceList { prev_hash: last.hash(), ..last.clone() };
    assert!(after.check_follows(&last).is_err());
}

#[test]
fn r28_device_ids_are_never_used_twice_and_never_change_keys() {
    let one = list(&[1, 2]);
    let removed = next(&one, &[2]);
    let back = next(&removed, &[1, 2]);
    assert_eq!(back.check_follows(&removed), Err(DeviceListError::IdReused(1)));
    let mut fallen = next(&next(&one, &[2, 5]), &[2]);
    let before = next(&one, &[2, 5]);
    fallen.next_device_id = 3;
    assert_eq!(fallen.check_follows(&before), Err(DeviceListError::NextIdFell));

    let changes: [&dyn Fn(&mut DeviceList); 4] = [
        &|l| l.devices[1].identity_key = [0x70; 32],
        &|l| l.devices[1].sealing_key = [0x70; 32],
        &|l| l.devices[1].signing_key = public(99).0,
        &|l| l.devices[1].added_at += 1,
    ];
    for change in changes {
        let mut swapped = next(&one, &[1, 2]);
        change(&mut swapped);
        assert_eq!(swapped.check_follows(&one), Err(DeviceListError::KeysChanged(2)));
    }
    // A new device that takes over the sealing key of the one it replaces.
    let mut heir = next(&one, &[1, 3]);
    heir.devices[1].sealing_key = one.devices[1].sealing_key;
    assert_eq!(heir.check_follows(&one), Err(DeviceListError::KeysChanged(3)));
}

#[test]
fn r28_following_a_chain_stops_at_the_first_break() {
    let one = list(&[1]);
    let two = next(&one, &[1, 2]);
    let three = next(&two, &[2]);
    let chain = [&one, &two, &three].map(signed);
    assert_eq!(follow("alice", None, &chain), Ok(Some(three.clone())));
    assert_eq!(follow("alice", Some(one.clone()), &chain[1..]), Ok(Some(three.clone())));
    assert_eq!(follow("alice", Some(three.clone()), &[]), Ok(Some(three)));
    assert_eq!(follow("alice", None, &[]), Ok(None));
    let gap = [chain[0].clone(), chain[2].clone()];
    assert_eq!(follow("alice", None, &gap), Err(DeviceListError::Version { expected: 2, got: 3 }));
    assert_eq!(follow("bob", None, &chain), Err(DeviceListError::OtherAccount));
    let mut unsigned = chain;
    unsigned[1].signature[0] ^= 1;
    assert_eq!(follow("alice", None, &unsigned), Err(DeviceListError::Signature));
}

proptest! {
    #[test]
    fn one_encoding_only(ids in proptest::collection::btree_set(1u32..32, 0..=6),
                         at in any::<proptest::sample::Index>(), value: u8, extra: u8) {
        let list = list(&ids.into_iter().collect::<Vec<_>>());
        let bytes = list.to_bytes();
        prop_assert_eq!(DeviceList::parse(&bytes), Ok(list));
        let at = at.index(bytes.len());
        prop_assert!(DeviceList::parse(&bytes[..at]).is_err());
        prop_assert!(DeviceList::parse(&[&bytes[..], &[extra]].concat()).is_err());
        let mut changed = bytes;
        changed[at] = value;
        if let Ok(list) = DeviceList::parse(&changed) {
            prop_assert_eq!(list.to_bytes(), changed);
        }
    }

    #[test]
    fn any_bytes_parse_or_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..900)) {
        if let Ok(list) = DeviceList::parse(&bytes) {
            prop_assert_eq!(list.to_bytes(), bytes);
        }
    }
}
