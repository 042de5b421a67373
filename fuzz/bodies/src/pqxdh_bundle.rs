//! `pqxdh_bundle`: what a relay hands out, and what an initiator sends.
//!
//! Input: one byte for the kind of case, then edits.
//!
//! - A bundle that verifies consists of prekeys that its device published, each in its place, in its time (R12); one that
//!   does not verify can still be computed with and never panics, and never without ML-KEM.
//! - An initial message that was altered in any byte does not open a session and changes no byte (R16); the genuine one
//!   does, once (R15).
//! - A key of low order in it is refused (R11).
//! - Prekeys that parse are written again as they were read (R9).

use std::sync::OnceLock;

use subrosa_crypto::session::{SessionError, SessionRecord};
use subrosa_verify::{
    bundle::PrekeyBundle,
    prekey::{EC_PREKEY_BYTES, KEM_PREKEY_BYTES, Prekey, PrekeyKind},
};

use crate::{
    party::{DEVICE, NOW, Party, devices},
    rng::SeededRng,
    script::Script,
};

const DAY_MS: u64 = 86_400_000;
/// Where the keys of an initial message stand.
const BASE_KEY: usize = 2;
const RATCHET_KEY: usize = 2 + 1_142;

/// Makes the devices and the genuine message.
pub fn prepare() {
    genuine_message();
}

/// One input.
pub fn run(data: &[u8]) {
    let mut script = Script::new(data);
    match script.byte() % 4 {
        0 => bundle(&mut script),
        1 => message(&mut script),
        2 => weak_key(&mut script),
        _ => {
            let raw = script.rest();
            let mut bob = Party::new(&devices()[1], 7);
            let received = bob.receive(&devices()[0], raw, NOW);
            assert!(received.is_err() || raw == genuine_message(), "nobody sent this");
            if let Ok(prekey) = Prekey::parse(raw) {
                assert_eq!(prekey.to_bytes(), raw);
            }
        }
    }
}

/// The bundle of the second device in bytes, edited.
fn bundle(script: &mut Script<'_>) {
    let [alice, bob] = devices();
    let number = u32::from(script.byte()) % 10;
    let genuine = bob.bundle(number);
    let now = NOW.saturating_add(u64::from(script.byte()) * DAY_MS).saturating_sub(5 * DAY_MS);
    let mut parts = [Some(&genuine.signed), genuine.one_time.as_ref(), Some(&genuine.kem)]
        .map(|part| part.map_or_else(Vec::new, Prekey::to_bytes));
    match script.byte() % 8 {
        // Keys of other places, other devices, other numbers.
        0 => parts.swap(0, 1),
        1 => parts[0] = bob.prekey(PrekeyKind::SignedEc, 2).to_bytes(),
        2 => parts[2] = bob.prekey(PrekeyKind::LastResortKem, 2).to_bytes(),
        3 => parts[script.below(3)] = alice.prekey(PrekeyKind::OneTimeEc, 1).to_bytes(),
        4 => parts[2] = alice.prekey(PrekeyKind::OneTimeKem, 1).to_bytes(),
        5 => parts[2] = parts[0].clone(),
        _ => {}
    }
    for part in &mut parts {
        edit(part, script);
    }
    let parsed = parts.each_ref().map(|part| (!part.is_empty()).then(|| Prekey::parse(part)));
    for (part, parsed) in parts.iter().zip(&parsed) {
        if let Some(Ok(prekey)) = parsed {
            assert_eq!(&prekey.to_bytes(), part, "canonical");
            assert_eq!(part.len(), if prekey.kind.is_kem() { KEM_PREKEY_BYTES } else { EC_PREKEY_BYTES });
        }
    }
    let [Some(Ok(signed)), one_time, Some(Ok(kem))] = parsed else { return };
    let Ok(one_time) = one_time.transpose() else { return };
    let bundle = PrekeyBundle { signed, one_time, kem };
    let verifies = bundle.verify(&bob.secrets.verifying_key(), bob.account, DEVICE, now).is_ok();
    if verifies {
        let kinds = [bundle.signed.kind == PrekeyKind::SignedEc, bundle.kem.kind.is_kem()];
        assert_eq!(kinds, [true; 2], "R12: every key in its place");
        assert!(bundle.one_time.as_ref().is_none_or(|key| key.kind == PrekeyKind::OneTimeEc));
        for prekey in
            [Some(&bundle.signed), bundle.one_time.as_ref(), Some(&bundle.kem)].into_iter().flatten()
        {
            assert!(bob.published(prekey), "a forged prekey verifies");
            assert!((NOW - DAY_MS..prekey.expires_at).contains(&now), "out of its time");
        }
    }
    assert!(!verifies || bob.secrets.verifying_key().is_usable());

    // Computing with what was not verified may fail, and must not do anything else.
    let mut record = SessionRecord::new();
    let initiated = record.initiate(
        &alice.local(),
        &bob.peer(),
        &bundle,
        now.max(NOW),
        &mut SeededRng::new(number.into()),
    );
    assert!(initiated.is_err() || bundle.kem.kind.is_kem(), "R12: a session without ML-KEM");
    assert!(initiated.is_ok() || !verifies, "a good bundle opens a session");
    if let (Ok(()), true) = (initiated, verifies) {
        let text = b"first";
        let message =
            record.encrypt(&alice.local(), &bob.peer(), text, now.max(NOW), &mut SeededRng::new(9)).unwrap();
        let decrypted = Party::new(bob, 8).receive(alice, &message, now.max(NOW)).unwrap();
        assert_eq!(decrypted.plaintext.as_slice(), text);
    }
}

/// A genuine initial message, edited.
fn message(script: &mut Script<'_>) {
    let (genuine, [alice, bob]) = (genuine_message(), devices());
    let mut bytes = genuine.to_vec();
    edit(&mut bytes, script);
    let mut reader = Party::new(bob, 3);
    let received = reader.receive(alice, &bytes, NOW);
    assert_eq!(received.is_ok(), bytes == genuine, "exactly the genuine message is read");
    if received.is_ok() {
        reader.record = SessionRecord::new();
        assert_eq!(reader.receive(alice, &bytes, NOW).err(), Some(SessionError::Replay), "R15");
    }
}

/// A low-order point where a key stands (R11).
fn weak_key(script: &mut Script<'_>) {
    let points = low_order_points();
    let mut bytes = genuine_message().to_vec();
    let at = if script.byte() & 1 == 0 { BASE_KEY } else { RATCHET_KEY };
    bytes[at..at + 32].copy_from_slice(&points[script.below(points.len())]);
    let received = Party::new(&devices()[1], 4).receive(&devices()[0], &bytes, NOW);
    assert!(matches!(received, Err(SessionError::NonContributory(_))), "R11");
}

/// A few changes: bytes overwritten, cut off or added.
fn edit(bytes: &mut Vec<u8>, script: &mut Script<'_>) {
    for _ in 0..script.byte() % 4 {
        match (script.byte() % 8, bytes.len()) {
            (0, len) => bytes.truncate(script.below(len + 1)),
            (1, _) => bytes.extend_from_slice(script.take(4)),
            (_, 0) => {}
            (_, len) => {
                let place = script.below(len);
                bytes[place] ^= script.byte();
            }
        }
    }
}

/// From the first device to the second, by its first bundle.
fn genuine_message() -> &'static [u8] {
    static MESSAGE: OnceLock<Vec<u8>> = OnceLock::new();
    MESSAGE.get_or_init(|| {
        let [alice, bob] = devices();
        Party::new(alice, 1).send(&mut Party::new(bob, 2), b"hello", NOW)
    })
}

/// The 12 known encodings of points of low order (<https://cr.yp.to/ecdh.html>), which include some that are not canonical.
fn low_order_points() -> Vec<[u8; 32]> {
    let point = |text: &str| data_encoding::HEXLOWER.decode(text.as_bytes()).unwrap().try_into().unwrap();
    let order_8: [[u8; 32]; 2] = [
        point("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
        point("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
    ];
    let near = |first: u8, rest: u8, last: u8| {
        let mut bytes = [rest; 32];
        (bytes[0], bytes[31]) = (first, last);
        bytes
    };
    let mut points = vec![near(0, 0, 0), near(1, 0, 0)];
    points.extend(order_8);
    points.extend([0xec, 0xed, 0xee].map(|first| near(first, 0xff, 0x7f)));
    points.push(point("cdeb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b880"));
    points.push(point("4c9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f11d7"));
    points.extend([0xd9, 0xda, 0xdb].map(|first| near(first, 0xff, 0xff)));
    points
}
