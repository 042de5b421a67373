//! `envelope_decode`: what a recipient reads out of its mailbox, from the sealed envelope to the text.
//!
//! Input: one byte for the kind of case, then the bytes of the object.
//!
//! - An envelope that nobody sealed for this device does not open; one that was sealed opens to what was put in, for this
//!   account and device only, and no more when any byte of it is another (R14).
//! - Padding, binding header, payload, device list, prekey secret and session record: what parses is written again as it
//!   was read (R9), and no claim allocates (R3).
//! - A binding header passes for one session only (R14).

use allocation_counter::measure;
use subrosa_crypto::{
    binding::{self, Conversation, Expected, Party as Named, Recipient},
    padding,
    prekeys::PrekeySecret,
    sealed,
    session::SessionRecord,
};
use subrosa_protocol::{Content, Payload, SafeText};
use subrosa_verify::device_list::{DeviceList, SignedDeviceList};

use crate::{
    party::{DEVICE, devices},
    rng::SeededRng,
    script::Script,
};

/// Makes the devices.
pub fn prepare() {
    devices();
}

/// One input.
pub fn run(data: &[u8]) {
    let Some((case, bytes)) = data.split_first() else { return };
    match case % 8 {
        0 => nobody_sealed(bytes),
        1 => seal(bytes),
        2 => unpad(bytes),
        3 => header(bytes),
        4 => payload(bytes),
        5 => device_list(bytes),
        6 => stored(bytes),
        _ => whole(bytes),
    }
}

fn nobody_sealed(bytes: &[u8]) {
    let device = &devices()[0];
    let used = measure(|| {
        assert!(sealed::open(&device.secrets, device.account, DEVICE, bytes).is_err(), "nobody sealed this");
    });
    assert!(used.bytes_max as usize <= 4 * bytes.len() + 4096, "{} bytes", used.bytes_max);
}

fn seal(bytes: &[u8]) {
    let [alice, bob] = devices();
    let mut script = Script::new(bytes);
    let (at, flip, seed) = (script.u16(), script.byte().max(1), script.u64());
    let sender_device = u32::from(script.byte());
    let message = script.rest();
    let (key, mut rng) = (bob.secrets.entry(DEVICE, 0).sealing_key, SeededRng::new(seed));
    let made = sealed::seal(&key, bob.account, DEVICE, alice.account, sender_device, message, &mut rng);
    let mut envelope = made.unwrap();
    assert_eq!(
        envelope.len(),
        message.len() + sealed::OVERHEAD,
        "the length tells the message's, nothing else"
    );
    match sealed::open(&bob.secrets, bob.account, DEVICE, &envelope) {
        Ok(opened) => {
            let (account, device) = (opened.sender_account.as_str(), opened.sender_device);
            assert_eq!((account, device, &opened.message[..]), (alice.account, sender_device, message));
        }
        Err(error) => assert_eq!(sender_device, 0, "{error}"),
    }
    assert!(sealed::open(&bob.secrets, bob.account, DEVICE + 1, &envelope).is_err(), "another device");
    assert!(sealed::open(&bob.secrets, alice.account, DEVICE, &envelope).is_err(), "another account");
    assert!(sealed::open(&alice.secrets, bob.account, DEVICE, &envelope).is_err(), "another key");
    let at = usize::from(at) % envelope.len();
    envelope[at] ^= flip;
    assert!(sealed::open(&bob.secrets, bob.account, DEVICE, &envelope).is_err(), "byte {at} altered");
}

fn unpad(bytes: &[u8]) {
    if let Ok(plaintext) = padding::unpad(bytes) {
        assert_eq!(padding::pad(plaintext.to_vec()).unwrap(), bytes, "canonical");
        header(plaintext);
    }
    if let Ok(padded) = padding::pad(bytes.to_vec()) {
        assert!(padding::BUCKETS.contains(&padded.len()));
        assert_eq!(padding::unpad(&padded).unwrap(), bytes);
    } else {
        assert!(bytes.len() > padding::MAX_PLAINTEXT);
    }
}

fn header(bytes: &[u8]) {
    let Ok((header, content)) = binding::parse(bytes) else { return };
    assert_eq!(binding::encode(&header, content), bytes, "canonical");
    payload(content);

    // Made for one session: who it names, as its own session would have it, and nobody else.
    let sender = header.sender();
    let fitting = match (&header.recipient, &header.conversation) {
        (Recipient::Device { account, account_key, device }, _) => {
            let local = Named { account, account_key: *account_key, device: *device };
            Expected::Pairwise { peer: sender, local }
        }
        (Recipient::Room { room, generation, epoch }, _) => {
            Expected::Room { sender, room: *room, generation: *generation, epoch: *epoch }
        }
    };
    let passes = binding::check(&header, &fitting).is_ok();
    let slots_agree = matches!(
        (&header.recipient, &header.conversation),
        (Recipient::Device { .. }, Conversation::Direct { .. })
            | (Recipient::Room { .. }, Conversation::Room(_))
    );
    assert!(!passes || slots_agree, "a message of one slot passes in another");
    let strangers = match fitting {
        Expected::Pairwise { peer, local } => vec![
            Expected::Pairwise { peer: Named { device: peer.device.wrapping_add(1), ..peer }, local },
            Expected::Pairwise { peer: Named { account_key: flip(peer.account_key), ..peer }, local },
            Expected::Pairwise { peer, local: Named { device: local.device.wrapping_add(1), ..local } },
            Expected::Pairwise { peer, local: Named { account_key: flip(local.account_key), ..local } },
            Expected::Pairwise { peer, local: Named { account: "somebody_else", ..local } },
            Expected::Room { sender: peer, room: [0; 16], generation: 0, epoch: 0 },
        ],
        Expected::Room { sender, room, generation, epoch } => vec![
            Expected::Room { sender, room, generation, epoch: epoch.wrapping_add(1) },
            Expected::Room { sender, room, generation: generation.wrapping_add(1), epoch },
            Expected::Room {
                sender: Named { device: sender.device.wrapping_add(1), ..sender },
                room,
                generation,
                epoch,
            },
            Expected::Pairwise { peer: sender, local: sender },
        ],
    };
    for other in strangers {
        let names_else = matches!(
            (&other, &header.recipient),
            (Expected::Pairwise { local, .. }, Recipient::Device { account, .. })
                if local.account == "somebody_else" && account == "somebody_else"
        );
        assert!(names_else || binding::check(&header, &other).is_err(), "R14: passes for {other:?} too");
    }
}

fn flip(mut key: [u8; 32]) -> [u8; 32] {
    key[0] ^= 1;
    key
}

fn payload(bytes: &[u8]) {
    let mut decoded = None;
    let used = measure(|| decoded = Some(Payload::decode(bytes)));
    assert!(used.bytes_max as usize <= 8 * bytes.len() + 1024, "{} bytes", used.bytes_max);
    let Some(Ok(payload)) = decoded else { return };
    match &payload.content {
        Content::Unknown(_) => assert!(payload.encode().is_err()),
        content => {
            assert_eq!(payload.encode().unwrap(), bytes, "canonical");
            if let Content::Text(text) = content {
                let _ = SafeText::multi_line(&text.text);
            }
        }
    }
}

fn device_list(bytes: &[u8]) {
    if let Ok(list) = DeviceList::parse(bytes) {
        assert_eq!(list.to_bytes(), bytes, "canonical");
        assert!(list.devices.len() <= subrosa_verify::device_list::MAX_DEVICES);
    }
    let Some((signature, rest)) = bytes.split_first_chunk::<64>() else { return };
    let alice = &devices()[0];
    let signed = SignedDeviceList { bytes: rest.to_vec(), signature: *signature };
    if let Ok(list) = signed.verify(alice.account) {
        assert!(list.account == alice.account && list.to_bytes() == rest);
        list.check().unwrap();
        // Only the key inside can have signed it; a list of this account was never signed here.
        assert_ne!(list.account_key, alice.account_secret.public(), "a forged list verifies");
    }
}

fn stored(bytes: &[u8]) {
    if let Ok(record) = SessionRecord::from_bytes(bytes) {
        assert_eq!(&record.to_bytes()[..], bytes, "canonical");
    }
    if let Ok(secret) = PrekeySecret::from_bytes(bytes) {
        assert_eq!(&secret.to_bytes()[..], bytes, "canonical");
    }
}

/// Bytes through the whole of it, as a text.
fn whole(bytes: &[u8]) {
    let [alice, bob] = devices();
    let text = String::from_utf8_lossy(bytes).chars().take(2_000).collect::<String>();
    let content = Content::Text(subrosa_protocol::content::Text {
        text: subrosa_protocol::BoundedStr::new(text.clone()).unwrap(),
        reply_to: None,
        sent_at: 1,
    });
    let header = binding::Header {
        sender_account: alice.account.into(),
        sender_account_key: alice.account_secret.public(),
        sender_device: DEVICE,
        recipient: Recipient::Device {
            account: bob.account.into(),
            account_key: bob.account_secret.public(),
            device: DEVICE,
        },
        conversation: Conversation::direct(alice.account, bob.account),
        message_id: [1; 16],
        counter: 1,
        prev_hash: [0; 32],
    };
    let inner =
        binding::encode(&header, &Payload { gossip: None, content: content.clone() }.encode().unwrap());
    let padded = padding::pad(inner).unwrap();
    let (read, rest) = binding::parse(padding::unpad(&padded).unwrap()).unwrap();
    assert_eq!(read, header);
    assert_eq!(Payload::decode(rest).unwrap().content, content);
}
