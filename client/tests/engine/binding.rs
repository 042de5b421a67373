//! A peer whose client lies: properly encrypted in its session with us, but not what the session vouches for.

use subrosa_client::{api::MessageKind, store::Counter};
use subrosa_crypto::{
    binding::{self, Conversation, Header, Recipient},
    padding, sealed,
    session::{LocalDevice, PeerDevice, SessionRecord},
};
use subrosa_protocol::{
    BoundedStr, EnvelopeId, MessageId, Payload,
    content::{Content, Text},
};

use crate::world::{World, device, name};

/// Bob's client, with its session with alice in our hands.
struct Liar {
    record: SessionRecord,
    header: Header,
    sent: u8,
}

impl Liar {
    fn new(world: &mut World) -> Self {
        let keys = |list: subrosa_crypto::verify::device_list::DeviceList| list.account_key;
        let (alice, bob) =
            (keys(world.relay.newest("alice").unwrap()), keys(world.relay.newest("bob").unwrap()));
        let (record, chain) = world.peek("bob", |tx| {
            let record = tx.session(&name("alice"), device(1)).unwrap().unwrap();
            (
                SessionRecord::from_bytes(&record).unwrap(),
                tx.outgoing_chain(&name("alice"), device(1)).unwrap(),
            )
        });
        let header = Header {
            sender_account: "bob".into(),
            sender_account_key: bob,
            sender_device: 1,
            recipient: Recipient::Device { account: "alice".into(), account_key: alice, device: 1 },
            conversation: Conversation::direct("alice", "bob"),
            message_id: [1; 16],
            counter: chain.counter + 1,
            prev_hash: chain.last_hash,
        };
        Self { record, header, sent: 0 }
    }

    /// Encrypts a message with this header and content and puts it into alice's mailbox.
    fn send(&mut self, world: &mut World, header: &Header, content: &[u8]) {
        let padded = padding::pad(binding::encode(header, content)).unwrap();
        self.send_plain(world, &padded);
    }

    fn send_plain(&mut self, world: &mut World, plain: &[u8]) {
        let keys = world.peek("bob", |tx| tx.identity().unwrap().unwrap().keys.unwrap());
        let (alice, bob) = (world.relay.newest("alice").unwrap(), world.relay.newest("bob").unwrap());
        let local =
            LocalDevice { account: "bob", account_key: bob.account_key, device_id: 1, secrets: &keys.device };
        let entry = &alice.devices[0];
        let peer = PeerDevice {
            account: "alice",
            account_key: alice.account_key,
            device_id: 1,
            identity_key: entry.identity_key,
        };
        let inner = self.record.encrypt(&local, &peer, plain, world.now, &mut world.rng).unwrap();
        let sealed = sealed::seal(&entry.sealing_key, "alice", 1, "bob", 1, &inner, &mut world.rng).unwrap();
        self.sent += 1;
        world.relay.inject("alice", 1, EnvelopeId::from_bytes([self.sent; 16]), sealed);
        world.disconnect("alice");
        world.connect("alice");
        world.settle();
    }
}

fn text(text: &str) -> Vec<u8> {
    let content = Text { text: BoundedStr::new(text).unwrap(), reply_to: None, sent_at: 5 };
    Payload { gossip: None, content: Content::Text(content) }.encode().unwrap()
}

#[test]
fn r14_any_mismatch_with_the_session_is_discarded_and_counted() {
    let mut world = World::friends(500);
    world.disconnect("bob");
    let mut liar = Liar::new(&mut world);
    let right = liar.header.clone();
    let carol = Recipient::Device { account: "carol".into(), account_key: [7; 32], device: 1 };
    let other_device = Recipient::Device {
        account: "alice".into(),
        account_key: world.relay.newest("alice").unwrap().account_key,
        device: 2,
    };
    let wrong = [
        Header { conversation: Conversation::direct("bob", "carol"), ..right.clone() },
        Header { conversation: Conversation::direct("alice", "carol"), ..right.clone() },
        Header { conversation: Conversation::Room([5; 16]), ..right.clone() },
        Header { recipient: Recipient::Room { room: [5; 16], generation: 0, epoch: 1 }, ..right.clone() },
        Header { recipient: carol, ..right.clone() },
        Header { recipient: other_device, ..right.clone() },
        Header { sender_account: "carol".into(), ..right.clone() },
        Header { sender_account_key: [7; 32], ..right.clone() },
        Header { sender_device: 2, ..right.clone() },
        Header { prev_hash: [7; 32], ..right.clone() },
        Header { counter: right.counter + 1_000_000, ..right.clone() },
    ];
    let count = wrong.len() as u64;
    for header in wrong {
        liar.send(&mut world, &header, &text("a lie"));
    }
    liar.send_plain(&mut world, &[0; 1024]);
    assert_eq!(world.texts("alice", "bob").len(), 2, "never shown");
    assert_eq!(world.peek("alice", |tx| tx.counted(Counter::DiscardedMismatch).unwrap()), count + 1);
    assert!(world.notices("alice", "bob").is_empty());
    // The session is none the worse for it.
    liar.send(&mut world, &right, &text("the truth"));
    assert_eq!(world.texts("alice", "bob").last().unwrap(), "the truth");
}

#[test]
fn contents_of_a_newer_version_are_shown_as_such_or_skipped() {
    let mut world = World::friends(501);
    world.disconnect("bob");
    let mut liar = Liar::new(&mut world);
    let mut header = liar.header.clone();
    for (id, content) in [&[0, 99, 0, 1, 7][..], &[0, 99, 0, 0, 7], &[9, 9, 9]].into_iter().enumerate() {
        header.message_id = [id as u8 + 10; 16];
        liar.send(&mut world, &header, content);
        header.prev_hash = binding::message_hash(&binding::encode(&header, content));
        header.counter += 1;
    }
    assert_eq!(world.notices("alice", "bob"), [MessageKind::NewerVersion {}, MessageKind::NewerVersion {}]);
    assert_eq!(world.peek("alice", |tx| tx.counted(Counter::SkippedOptional).unwrap()), 1);
    header.message_id = [99; 16];
    liar.send(&mut world, &header, &text("and on"));
    assert_eq!(world.texts("alice", "bob").last().unwrap(), "and on");
    assert!(world.notices("alice", "bob").len() == 2, "no gap: they had their place in the chain");
}

#[test]
fn a_message_id_is_shown_once_and_belongs_to_its_writer() {
    let mut world = World::friends(502);
    let id: MessageId = world.send("alice", "bob", "mine").parse().unwrap();
    world.settle();
    world.disconnect("bob");
    let mut liar = Liar::new(&mut world);
    let mut header = Header { message_id: *id.as_bytes(), ..liar.header.clone() };
    liar.send(&mut world, &header, &text("yours?"));
    for _ in 0..2 {
        header.prev_hash = binding::message_hash(&binding::encode(&header, &text("yours?")));
        header.counter += 1;
        liar.send(&mut world, &header, &text("yours?"));
    }
    let texts = world.texts("alice", "bob");
    assert_eq!(texts[2..], ["mine", "yours?"]);
}
