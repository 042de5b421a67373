use data_encoding::HEXLOWER;
use proptest::prelude::*;

use super::*;

const ALICE: Party<'static> = Party { account: "alice", account_key: [0xa1; 32], device: 1 };
const ALICE_2: Party<'static> = Party { device: 2, ..ALICE };
const BOB: Party<'static> = Party { account: "bob", account_key: [0xb0; 32], device: 7 };
const ROOM_ID: [u8; 16] = [0x77; 16];

fn pairwise(from: Party<'_>, to: Party<'_>, conversation: Conversation) -> Header {
    Header {
        sender_account: from.account.into(),
        sender_account_key: from.account_key,
        sender_device: from.device,
        recipient: Recipient::Device {
            account: to.account.into(),
            account_key: to.account_key,
            device: to.device,
        },
        conversation,
        message_id: [0x11; 16],
        counter: 2,
        prev_hash: [0x22; 32],
    }
}

fn in_room() -> Header {
    Header {
        recipient: Recipient::Room { room: ROOM_ID, generation: 3, epoch: 5 },
        conversation: Conversation::Room(ROOM_ID),
        ..pairwise(ALICE, BOB, Conversation::direct("alice", "bob"))
    }
}

#[test]
fn golden_bytes_pairwise() {
    let header = pairwise(ALICE, BOB, Conversation::direct("bob", "alice"));
    let message = encode(&header, b"hi");
    let expected = [
        "01",
        &format!("05616c696365{}01000000", "a1".repeat(32)),
        &format!("0103626f62{}07000000", "b0".repeat(32)),
        "0105616c69636503626f62",
        &"11".repeat(16),
        "0200000000000000",
        &"22".repeat(32),
        "6869",
    ];
    assert_eq!(HEXLOWER.encode(&message), expected.concat());
    assert_eq!(parse(&message), Ok((header, &b"hi"[..])));
}

#[test]
fn golden_bytes_room() {
    let message = encode(&in_room(), b"");
    let expected = [
        "01",
        &format!("05616c696365{}01000000", "a1".repeat(32)),
        &format!("02{}030000000500000000000000", "77".repeat(16)),
        &format!("02{}", "77".repeat(16)),
        &"11".repeat(16),
        "0200000000000000",
        &"22".repeat(32),
    ];
    assert_eq!(HEXLOWER.encode(&message), expected.concat());
    assert_eq!(parse(&message), Ok((in_room(), &b""[..])));
}

#[test]
fn the_longest_header_is_as_long_as_its_constant() {
    let name = "a".repeat(32);
    let long = Party { account: &name, ..ALICE };
    let header = pairwise(long, long, Conversation::direct(&name, &name));
    assert_eq!(encode(&header, b"").len(), HEADER_MAX);
    assert!(parse(&encode(&header, b"")).is_ok());
}

#[test]
fn r14_a_message_counts_in_its_own_session_only() {
    let header = pairwise(ALICE, BOB, Conversation::direct("alice", "bob"));
    let expected = |peer, local| Expected::Pairwise { peer, local };
    assert_eq!(check(&header, &expected(ALICE, BOB)), Ok(()));
    for peer in [BOB, ALICE_2, Party { account: "alicf", ..ALICE }, Party { account_key: [0; 32], ..ALICE }] {
        assert_eq!(check(&header, &expected(peer, BOB)), Err(BindingError::Sender), "{peer:?}");
    }
    for local in [
        ALICE,
        Party { device: 8, ..BOB },
        Party { account: "bpb", ..BOB },
        Party { account_key: [0; 32], ..BOB },
    ] {
        assert_eq!(check(&header, &expected(ALICE, local)), Err(BindingError::Recipient), "{local:?}");
    }
    for (a, b) in
        [("alice", "carol"), ("bob", "carol"), ("alice", "alice"), ("bob", "bob"), ("carol", "dave")]
    {
        let header = pairwise(ALICE, BOB, Conversation::direct(a, b));
        assert_eq!(check(&header, &expected(ALICE, BOB)), Err(BindingError::Conversation), "{a} {b}");
    }
}

#[test]
fn r14_a_copy_for_ones_own_device_names_ones_own_conversation() {
    let expected = Expected::Pairwise { peer: ALICE, local: ALICE_2 };
    for other in ["bob", "alice", "zoe"] {
        let header = pairwise(ALICE, ALICE_2, Conversation::direct("alice", other));
        assert_eq!(check(&header, &expected), Ok(()), "{other}");
    }
    let header = pairwise(ALICE, ALICE_2, Conversation::direct("bob", "carol"));
    assert_eq!(check(&header, &expected), Err(BindingError::Conversation));
}

#[test]
fn r14_room_and_pairwise_messages_never_stand_in_for_each_other() {
    let direct = pairwise(ALICE, BOB, Conversation::direct("alice", "bob"));
    let room = in_room();
    let in_group = Expected::Room { sender: ALICE, room: ROOM_ID, generation: 3, epoch: 5 };
    let in_session = Expected::Pairwise { peer: ALICE, local: BOB };
    assert_eq!(check(&room, &in_group), Ok(()));
    assert_eq!(check(&room, &in_session), Err(BindingError::Slot));
    assert_eq!(check(&direct, &in_group), Err(BindingError::Slot));
    for mixed in [
        Header { conversation: room.conversation.clone(), ..direct.clone() },
        Header { recipient: room.recipient.clone(), ..direct },
    ] {
        assert_eq!(check(&mixed, &in_group), Err(BindingError::Slot));
        assert_eq!(check(&mixed, &in_session), Err(BindingError::Slot));
    }
}

#[test]
fn r14_a_room_message_counts_for_its_sender_room_and_epoch() {
    let room = |sender, room, epoch| Expected::Room { sender, room, generation: 3, epoch };
    assert_eq!(check(&in_room(), &room(BOB, ROOM_ID, 5)), Err(BindingError::Sender));
    assert_eq!(check(&in_room(), &room(ALICE, [0; 16], 5)), Err(BindingError::Recipient));
    assert_eq!(check(&in_room(), &room(ALICE, ROOM_ID, 6)), Err(BindingError::Recipient));
    let elsewhere = Header { conversation: Conversation::Room([0; 16]), ..in_room() };
    assert_eq!(check(&elsewhere, &room(ALICE, ROOM_ID, 5)), Err(BindingError::Conversation));
}

#[test]
fn headers_that_break_a_rule_do_not_parse() {
    let good = pairwise(ALICE, BOB, Conversation::direct("alice", "bob"));
    let unsorted = Conversation::Direct { a: "bob".into(), b: "alice".into() };
    for bad in [
        Header { counter: 0, ..good.clone() },
        Header { counter: 0, prev_hash: [0; 32], ..good.clone() },
        Header { counter: 1, ..good.clone() },
        Header { prev_hash: [0; 32], ..good.clone() },
        Header { conversation: unsorted, ..good.clone() },
        Header { conversation: Conversation::direct("al", "bob"), ..good.clone() },
        Header { sender_account: "a".repeat(33), ..good.clone() },
        Header { sender_account: "a".repeat(300), ..good.clone() },
        Header { sender_device: 0, ..good.clone() },
        pairwise(ALICE, Party { device: 0, ..BOB }, good.conversation.clone()),
    ] {
        assert!(matches!(parse(&encode(&bad, b"")), Err(BindingError::Malformed(_))), "{bad:?}");
    }
    let first = Header { counter: 1, prev_hash: [0; 32], ..good };
    assert!(parse(&encode(&first, b"")).is_ok());
}

fn header() -> impl Strategy<Value = Header> {
    let name = || "[a-z][a-z0-9_]{2,31}";
    let recipient = prop_oneof![
        (name(), any::<[u8; 32]>(), 1u32..).prop_map(|(account, account_key, device)| {
            Recipient::Device { account, account_key, device }
        }),
        (any::<[u8; 16]>(), any::<u32>(), any::<u64>())
            .prop_map(|(room, generation, epoch)| Recipient::Room { room, generation, epoch }),
    ];
    let conversation = prop_oneof![
        (name(), name()).prop_map(|(a, b)| Conversation::direct(&a, &b)),
        any::<[u8; 16]>().prop_map(Conversation::Room),
    ];
    let chain = prop_oneof![Just((1, [0; 32])), (2u64.., any::<[u8; 32]>())];
    (name(), any::<[u8; 32]>(), 1u32.., recipient, conversation, any::<[u8; 16]>(), chain).prop_map(
        |(sender_account, sender_account_key, sender_device, recipient, conversation, message_id, chain)| {
            Header {
                sender_account,
                sender_account_key,
                sender_device,
                recipient,
                conversation,
                message_id,
                counter: chain.0,
                prev_hash: chain.1,
            }
        },
    )
}

proptest! {
    #[test]
    fn round_trip_and_one_encoding(header in header(), content in proptest::collection::vec(any::<u8>(), 0..64),
                                   at in any::<proptest::sample::Index>(), value: u8) {
        let message = encode(&header, &content);
        prop_assert_eq!(parse(&message), Ok((header, &content[..])));
        // Cut anywhere or changed anywhere, the bytes are refused or are the only encoding of what they parse to.
        let at = at.index(message.len());
        let mut changed = message.clone();
        changed[at] = value;
        for bytes in [&message[..at], &changed] {
            if let Ok((header, content)) = parse(bytes) {
                prop_assert_eq!(encode(&header, content), bytes);
            }
        }
    }

    #[test]
    fn any_bytes_parse_or_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        if let Ok((header, content)) = parse(&bytes) {
            prop_assert_eq!(encode(&header, content), bytes);
        }
    }
}
