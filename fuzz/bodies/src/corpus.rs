//! Inputs: seeds made of real objects, the committed corpus, and mutations.

use std::{fs, path::PathBuf};

use subrosa_crypto::prekeys::generate_prekey;
use subrosa_verify::prekey::PrekeyKind;

use crate::{
    party::{DEVICE, NOW, Party, devices},
    rng::SeededRng,
};

/// A target by its fixed name (R10).
pub struct Target {
    /// The name.
    pub name: &'static str,
    /// What must be there before the first input.
    pub prepare: fn(),
    /// One input.
    pub run: fn(&[u8]),
}

/// Every target that is built.
#[must_use]
pub fn targets() -> Vec<Target> {
    macro_rules! target {
        ($name:ident) => {
            Target { name: stringify!($name), prepare: crate::$name::prepare, run: crate::$name::run }
        };
    }
    vec![
        target!(frame_decode),
        #[cfg(feature = "relay")]
        target!(auth_state),
        target!(envelope_decode),
        target!(dr_session),
        target!(pqxdh_bundle),
        target!(mls_inbound),
        target!(terminal_sanitize),
        #[cfg(feature = "client")]
        target!(rpc_json),
    ]
}

/// Where the committed corpus of a target is.
#[must_use]
pub fn folder(target: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../corpus").join(target)
}

/// The committed corpus of a target, by name.
#[must_use]
pub fn committed(target: &str) -> Vec<Vec<u8>> {
    let Ok(entries) = fs::read_dir(folder(target)) else { return Vec::new() };
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| fs::read(file).unwrap()).collect()
}

/// A change or a few of one input, as a fuzzer without feedback would make them.
#[must_use]
pub fn mutate(inputs: &[Vec<u8>], rng: &mut SeededRng) -> Vec<u8> {
    const MAX: usize = 4_096;
    let mut bytes = inputs.get(rng.below(inputs.len().max(1))).cloned().unwrap_or_default();
    for _ in 0..=rng.below(4) {
        let at = rng.below(bytes.len() + 1);
        let value = rng.number();
        match rng.below(7) {
            0 if at < bytes.len() => bytes[at] ^= 1 << (value % 8),
            1 if at < bytes.len() => bytes[at] = value as u8,
            2 => bytes.insert(at, value as u8),
            3 if at < bytes.len() => drop(bytes.remove(at)),
            4 => bytes.truncate(at),
            5 => {
                let to = (at + 1 + rng.below(16)).min(bytes.len());
                let piece = bytes[at..to].to_vec();
                bytes.splice(at..at, piece);
            }
            _ => {
                let other = inputs.get(rng.below(inputs.len().max(1))).cloned().unwrap_or_default();
                bytes.truncate(at);
                bytes.extend_from_slice(&other[rng.below(other.len() + 1)..]);
            }
        }
    }
    bytes.truncate(MAX);
    bytes
}

/// Real objects for a target to start from: golden bytes of the protocol and of the cryptography, a conversation, texts.
#[must_use]
pub fn seeds(target: &str) -> Vec<Vec<u8>> {
    match target {
        "frame_decode" => golden_frames()
            .flat_map(|frame| [[&[0][..], &frame].concat(), [&[0x0f][..], &frame].concat()])
            .collect(),
        "auth_state" => vec![
            vec![0, 0, 0, 2, 8, 0, 0, 8, 0, 1, 0, 9, 9],
            vec![0, 0, 0, 4, 1, 0, 4, 2, 1, 4, 3, 8],
            vec![0, 0, 0, 4, 1, 6, 5, 0, 3, 2, 8, 0, 0],
            vec![0, 0, 0, 8, 0, 1, 1, 8, 0, 2, 0, 10, 0, 1, 3, 7, 7, 7],
            vec![2, 0, 0, 0, 10, 0, 0, 32, 0xe2, 0xf2, 0xae, 0x0a],
            vec![0, 3, 0],
            vec![0, 0, 0, 14, 11, 7, 0, 0, 0, 36, 0, 0, 4, 3, 2, 1],
            vec![0, 0, 0, 12, 0, 3, 1, 2, 3, 0, 12, 7, 0, 1],
        ],
        "envelope_decode" => envelope_seeds(),
        "dr_session" => session_seeds(),
        "pqxdh_bundle" => {
            let [alice, bob] = devices();
            let message = Party::new(alice, 1).send(&mut Party::new(bob, 2), b"hello", NOW);
            let mut seeds =
                vec![vec![0, 1, 5, 7, 0], vec![0, 25, 5, 7, 0], vec![1, 0], vec![2, 0, 3], vec![2, 1, 9]];
            seeds.extend((0..8).map(|case| vec![0, 2, 5, case, 1, 2, 9, 1]));
            seeds.extend([40u8, 200].map(|at| vec![1, 1, 2, at, 0, 1]));
            seeds.push([&[3][..], &message].concat());
            let bundle = bob.bundle(1);
            for prekey in [&bundle.signed, &bundle.kem] {
                seeds.push([&[3][..], &prekey.to_bytes()].concat());
            }
            seeds
        }
        "mls_inbound" => crate::mls_inbound::objects(),
        "terminal_sanitize" => TEXTS.iter().map(|text| text.as_bytes().to_vec()).collect(),
        "rpc_json" => LINES.iter().map(|line| line.as_bytes().to_vec()).collect(),
        _ => Vec::new(),
    }
}

/// One of each frame, as `protocol/tests/golden.txt` has them.
fn golden_frames() -> impl Iterator<Item = Vec<u8>> {
    include_str!("../../../protocol/tests/golden.txt").lines().map(|line| {
        let hex = line.rsplit(' ').next().unwrap();
        data_encoding::HEXLOWER.decode(hex.as_bytes()).unwrap()
    })
}

/// The vectors of the cryptography that are an object of this name.
fn vector(name: &str) -> Vec<u8> {
    let vectors: serde_json::Value =
        serde_json::from_str(include_str!("../../../crypto/vectors/objects.json")).unwrap();
    data_encoding::HEXLOWER.decode(vectors[name].as_str().unwrap().as_bytes()).unwrap()
}

fn envelope_seeds() -> Vec<Vec<u8>> {
    let tagged = |case: u8, bytes: &[u8]| [&[case][..], bytes].concat();
    let [alice, bob] = devices();
    let (mut one, mut other) = (Party::new(alice, 1), Party::new(bob, 2));
    let first = one.send(&mut other, b"first", NOW);
    let unanswered = one.record.to_bytes();
    other.receive(alice, &first, NOW).unwrap();
    let answer = other.send(&mut one, b"answer", NOW);
    one.receive(bob, &answer, NOW).unwrap();
    let (secret, _) = generate_prekey(
        PrekeyKind::OneTimeKem,
        7,
        &alice.secrets,
        alice.account,
        DEVICE,
        NOW,
        &mut SeededRng::new(3),
    );
    let payload = b"\x00\x01\x00\x00\x02hi\x00\x05";
    vec![
        tagged(0, &vector("sealed")),
        tagged(1, b"\x05\x00\x01seedseed\x01a session message"),
        tagged(2, &vector("padded")),
        tagged(3, &vector("binding_pairwise")),
        tagged(3, &vector("binding_room")),
        tagged(4, payload),
        tagged(5, &vector("device_list_2")),
        tagged(5, &[vector("device_list_1_signature"), vector("device_list_1")].concat()),
        tagged(6, &unanswered),
        tagged(6, &one.record.to_bytes()),
        tagged(6, &secret.to_bytes()),
        tagged(7, "Grüße 👋".as_bytes()),
    ]
}

fn session_seeds() -> Vec<Vec<u8>> {
    let script = |events: &[u8]| [&7u64.to_le_bytes()[..], events].concat();
    let (send_a, send_b, to_a, to_b) = (0, 0x80, 24, 0x80 | 24);
    vec![
        script(&[send_a, to_b, send_b, to_a, send_a, send_b, to_a, to_b]),
        script(&[send_a, send_b, to_a, to_b, send_a, send_b, to_b, to_a]),
        script(&[send_a, send_a, send_a, 0x80 | 64, 2, to_b, to_b, send_b, to_a]),
        script(&[send_a, 0x80 | 86, 10, 3, 1, to_b, send_b, 86, 220, 3, to_a]),
        script(&[send_a, 0x80 | 78, 0x80 | 78, to_b, 94, 0x80 | 94]),
        script(&[send_a, to_b, send_b, to_a, 98, send_a, to_b, 106, send_b, to_a]),
        script(&[send_a, to_b, 108, 1, to_b, to_b, send_a, to_b, 102, 200, 112, 116, 1, 1]),
        script(&[120, 0x80 | 120, send_a, send_b, 120, to_a, to_b, send_a, to_b]),
    ]
}

const TEXTS: &[&str] = &[
    "plain text, two lines\nand a\ttab",
    "\u{1b}[31mred\u{1b}[0m \u{1b}]8;;http://evil\u{1b}\\link\u{9b}2J",
    "a\u{202e}b\u{2066}c\u{2069}d\u{200b}e\u{feff}f\u{e0041}g",
    "👨\u{200d}👩\u{200d}👧 🇩🇪 👋🏽 ❤\u{fe0f} 1\u{fe0f}\u{20e3}",
    "e\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}",
    "مرحبا שלום नमस्ते 한국어 ไทย",
    "  Al\u{202e}ice \n  B  ",
    "ᄀ가각\u{11a8}\u{11a8} क्ष\u{200d}त्र \r\n \u{600}12",
];

const LINES: &[&str] = &[
    r#"{"jsonrpc":"2.0","id":"x","method":"message.show","params":{"id":"A"}}"#,
    r#"{"jsonrpc":"2.0","method":"events.subscribe","params":{"filter":["message.*"]}}"#,
    r#"{"jsonrpc":"2.0","id":1,"method":"message.send","params":{"to":["bob"],"text":"hi","wait":"delivered","key":"k"}}"#,
    r#"[{"jsonrpc":"2.0","id":1,"method":"account.show"},7,{"jsonrpc":"2.0","method":"chat.list"}]"#,
    r#"{"jsonrpc":"2.0","id":-1.5e300,"method":"chat.history","params":{"chat":"bob","limit":3,"before":null}}"#,
    r#"{"jsonrpc":"1.0","id":{},"method":7}"#,
    r#"{"jsonrpc":"2.0","id":1,"result":{}}"#,
    r#"{"jsonrpc":"2.0","id":2,"error":{"code":10,"message":"slow\u001b[2J","data":{"kind":"rate_limited","hint":null,"retry_after_ms":250,"id":"01"}}}"#,
    r#"{"jsonrpc":"2.0","method":"event","params":{"v":1,"seq":3,"ts":"2026-01-01T00:00:00.000Z","account":"a@b","event":"system.gap","data":{"from":1,"to":2}}}"#,
    r#"{"jsonrpc":"2.0","id":null,"method":"message.search","params":{"query":"\u202e\ud83d\ude00","limit":1000}}"#,
];
