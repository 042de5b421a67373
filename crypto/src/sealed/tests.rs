use data_encoding::HEXLOWER;
use proptest::prelude::*;

use super::*;
use crate::{ratchet::testing::low_order_points, test_rng::TestRng};

fn device(seed: u64) -> (DeviceSecrets, [u8; 32]) {
    let device = DeviceSecrets::generate(&mut TestRng::new(seed));
    let key = device.entry(1, 0).sealing_key;
    (device, key)
}

fn hex(text: &str) -> Vec<u8> {
    HEXLOWER.decode(text.as_bytes()).unwrap()
}

/// RFC 9180, appendix A.2.1, first encryption: the suite and mode used here.
#[test]
fn rfc_9180_a_2_1() {
    let secret = hex("8057991eef8f1f1af18f4a9491d16a1ce333f695d4db8e38da75975c4478e0fb");
    let enc = hex("1afa08d3dec047a643885163f1180476fa7ddb54c6a8029ea33f95796bf2ac4a");
    let ciphertext = hex(concat!(
        "1c5250d8034ec2b784ba2cfd69dbdb8af406cfe3ff938e131f0def8c8b60b4db",
        "21993c62ce81883d2dd1b51a28"
    ));
    let plaintext = single_shot_open::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
        &OpModeR::Base,
        &PrivateKey::from_bytes(&secret).unwrap(),
        &EncappedKey::from_bytes(&enc).unwrap(),
        b"Ode on a Grecian Urn",
        &ciphertext,
        b"Count-0",
    );
    assert_eq!(plaintext.unwrap(), b"Beauty is truth, truth beauty");
}

#[test]
fn the_suite_stands_in_the_info() {
    let expected = [&b"subrosa/1 hpke sealed envelope\0"[..], &[1, 0x20, 0, 1, 0, 3, 0]].concat();
    assert_eq!(info(), expected);
}

#[test]
fn the_length_tells_nothing_of_the_sender() {
    let (_, key) = device(5);
    let mut rng = TestRng::new(1);
    for sender in ["bob", "a-name-of-exactly-32-bytes-long!"] {
        let sealed = seal(&key, "carol", 1, sender, 1, &[0; 100], &mut rng).unwrap();
        assert_eq!(sealed.len(), OVERHEAD + 100);
    }
}

#[test]
fn opens_for_its_device_only() {
    let (bob, key) = device(5);
    let sealed = seal(&key, "bob", 7, "alice", 1, b"hi", &mut TestRng::new(6)).unwrap();
    assert_eq!(open(&bob, "bob", 8, &sealed), Err(SealError::Refused));
    assert_eq!(open(&bob, "bpb", 7, &sealed), Err(SealError::Refused));
    assert_eq!(open(&device(6).0, "bob", 7, &sealed), Err(SealError::Refused));
}

#[test]
fn every_changed_bit_and_every_cut_is_refused() {
    let (bob, key) = device(5);
    let sealed = seal(&key, "bob", 7, "alice", 1, b"hi", &mut TestRng::new(6)).unwrap();
    for bit in 0..sealed.len() * 8 {
        let mut bad = sealed.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert!(open(&bob, "bob", 7, &bad).is_err(), "bit {bit}");
    }
    for len in 0..sealed.len() {
        assert!(open(&bob, "bob", 7, &sealed[..len]).is_err(), "length {len}");
    }
    let mut longer = sealed.clone();
    longer.push(0);
    assert_eq!(open(&bob, "bob", 7, &longer), Err(SealError::Refused));
    let mut newer = sealed;
    newer[0] = 2;
    assert_eq!(open(&bob, "bob", 7, &newer), Err(SealError::UnknownVersion(2)));
}

#[test]
fn r11_low_order_keys_are_refused_both_ways() {
    let (bob, key) = device(5);
    let sealed = seal(&key, "bob", 7, "alice", 1, b"hi", &mut TestRng::new(6)).unwrap();
    for point in low_order_points() {
        let refused = seal(&point, "bob", 7, "alice", 1, b"hi", &mut TestRng::new(6));
        assert_eq!(refused, Err(SealError::WeakKey));
        let mut bad = sealed.clone();
        bad[1..33].copy_from_slice(&point);
        assert_eq!(open(&bob, "bob", 7, &bad), Err(SealError::WeakKey));
    }
}

#[test]
fn bounds_hold() {
    let (bob, key) = device(5);
    let mut rng = TestRng::new(6);
    let most = seal(&key, "bob", 7, "alice", 1, &vec![0; MAX_MESSAGE], &mut rng).unwrap();
    assert_eq!(open(&bob, "bob", 7, &most).unwrap().message.len(), MAX_MESSAGE);
    let long = seal(&key, "bob", 7, "alice", 1, &vec![0; MAX_MESSAGE + 1], &mut rng);
    assert_eq!(long, Err(SealError::TooLong(MAX_MESSAGE + 1)));
    let mut longer = most;
    longer.push(0);
    assert_eq!(open(&bob, "bob", 7, &longer), Err(SealError::TooLong(MAX_MESSAGE + 1)));
    for (recipient, sender) in
        [("bo", "alice"), ("bob", "al"), ("bob", "a-name-that-is-longer-than-32-bytes")]
    {
        assert!(seal(&key, recipient, 7, sender, 1, b"", &mut rng).is_err());
    }
}

#[test]
fn a_plaintext_has_one_form() {
    let mut good = vec![5];
    good.extend_from_slice(b"alice");
    good.resize(33, 0);
    good.extend_from_slice(&1u32.to_le_bytes());
    assert!(read_plaintext(&good).is_ok());
    for (at, value) in [(0, 2), (0, 33), (0, 6), (0, 4), (1, 0xff), (32, 1), (33, 0)] {
        let mut bad = good.clone();
        bad[at] = value;
        // A longer name may take zeros of the fill: that is another name, of six bytes, and still one form.
        let found = read_plaintext(&bad);
        assert!(found.is_err() || (at, value) == (0, 6), "byte {at} = {value}");
    }
    assert!(read_plaintext(&good[..36]).is_err());
}

proptest! {
    #[test]
    fn hostile_bytes_never_open_and_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let (bob, _) = device(5);
        let framed = [&[VERSION], &bytes[..]].concat();
        prop_assert!(open(&bob, "bob", 7, &bytes).is_err());
        prop_assert!(open(&bob, "bob", 7, &framed).is_err());
    }
}
