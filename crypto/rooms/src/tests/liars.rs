//! Members that lie: each of their commits is refused by all the others, who go on.

use openmls::group::{CommitBuilder, Initial, MlsGroup};
use openmls::prelude::{Extension, Extensions, OpenMlsProvider, UnknownExtension};
use openmls_traits::crypto::OpenMlsCrypto;
use openmls_traits::types::{
    AeadType, Ciphersuite, CryptoError, ExporterSecret, HashType, HpkeCiphertext, HpkeConfig, HpkeKeyPair,
    KemOutput, SignatureScheme,
};
use tls_codec::SecretVLBytes;

use super::did;
use super::world::{Entry, Person, ROOM, World};
use crate::provider::Provider;
use crate::storage::Storage;
use crate::store::Draft;
use crate::*;
use subrosa_crypto::binding::{self, Conversation, Header, Recipient};
use subrosa_crypto::mls::Primitives;
use subrosa_crypto::padding;

type Builder<'a> = CommitBuilder<'a, Initial, &'a mut MlsGroup>;

/// A commit of `who` that no rule was asked about; the liar's own room stays as it was.
pub(super) fn lie(
    world: &mut World,
    who: usize,
    delta: &Delta,
    shape: impl for<'a> FnOnce(Builder<'a>) -> Builder<'a>,
) -> Vec<u8> {
    let mut person = world.people[who].borrow_mut();
    let person = &mut *person;
    let me = Me {
        account: &person.name,
        account_key: person.account_key,
        device: person.device,
        secrets: &person.secrets,
    };
    let mut room = Room::load(&person.store, ROOM).unwrap().unwrap();
    let provider = Provider::new(&person.store, &mut world.rng);
    room.group.set_aad(delta.hash(&ROOM, room.record.generation, room.epoch()).to_vec());
    let bundle = shape(room.group.commit_builder())
        .load_psks(provider.storage())
        .unwrap()
        .build(provider.rand(), provider.crypto(), &me, |_| true)
        .unwrap()
        .stage_commit(&provider)
        .unwrap();
    bundle.into_commit().to_bytes().unwrap()
}

/// All but the liar refuse the commit for `expected`, change no stored byte, and talk on.
fn refused(world: &mut World, liar: usize, commit: &[u8], delta: &Delta, expected: &Refusal) {
    for who in (0..world.people.len()).filter(|who| *who != liar) {
        let mut person = world.people[who].borrow_mut();
        let person = &mut *person;
        let Some(room) = person.room.as_mut() else { continue };
        let before = person.store.contents();
        let verdict =
            room.receive_commit(&person.store, &mut world.rng, commit, delta, &world.lists, world.now);
        assert_eq!(verdict.unwrap(), Verdict::Refuse(expected.clone()), "{}", person.name);
        assert_eq!(person.store.contents(), before);
        assert!(expected.breaks_room());
    }
    world.post(0, b"we go on");
    world.agree();
}

fn with_policy(
    world: &World,
    who: usize,
    change: impl FnOnce(&mut Policy),
) -> Extensions<openmls::prelude::GroupContext> {
    let mut policy = world.people[who].borrow().room().policy().clone();
    change(&mut policy);
    config::extensions(&policy).unwrap()
}

/// A room of an owner, a moderator and two members, the last of which lies.
fn room(seed: u64) -> World {
    let mut world = World::room_of(seed, 4, Suite::Classic, Visibility::Private);
    let plan = world.people[0].borrow().room().plan_policy(|p| {
        p.set_role("user1", Role::Moderator);
        p.muted.insert("user2".into());
        p.banned.insert("mallory".into());
    });
    world.commit(0, plan);
    world.agree();
    world
}

#[test]
fn r33_changes_of_the_policy_without_the_right_are_refused() {
    let mut world = room(31);
    let other = OwnerKey::generate(&mut world.rng).public();
    type Lies = Vec<(Box<dyn Fn(&mut Policy)>, Act)>;
    let member: Lies = vec![
        (Box::new(|p| p.set_role("user3", Role::Owner)), Act::Roles),
        (Box::new(|p| p.set_role("user3", Role::Moderator)), Act::Roles),
        (Box::new(|p| p.set_role("user1", Role::Member)), Act::Roles),
        (Box::new(|p| p.topic = "mine".into()), Act::Topic),
        (Box::new(|p| p.name = "mine".into()), Act::Rename),
        (Box::new(|p| p.invite = InviteRule::Members), Act::InviteRule),
        (Box::new(|p| p.timer = Some(1)), Act::Timer),
        (Box::new(|p| p.muted.clear()), Act::Mute),
        (Box::new(|p| p.muted = ["user2".to_owned(), "user1".to_owned()].into()), Act::Mute),
        (Box::new(|p| p.room = [1; 16]), Act::Fixed),
        (Box::new(|p| p.generation = 9), Act::Fixed),
        (Box::new(|p| p.visibility = Visibility::Public), Act::Fixed),
        (Box::new(move |p| p.owner_key = other), Act::OwnerKey),
    ];
    let moderator: Lies = vec![
        (Box::new(|p| p.set_role("user1", Role::Owner)), Act::Roles),
        (Box::new(|p| p.set_role("user0", Role::Member)), Act::Roles),
        (Box::new(|p| p.name = "mine".into()), Act::Rename),
        (Box::new(|p| p.timer = Some(1)), Act::Timer),
        (Box::new(|p| p.invite = InviteRule::Owners), Act::InviteRule),
        (Box::new(move |p| p.owner_key = other), Act::OwnerKey),
    ];
    let mut tried = 0;
    for (liar, lies) in [(3, member), (1, moderator)] {
        for (change, act) in lies {
            // Taking the only owner away makes a policy that is none, whoever does it: keep another.
            let keep_owner = |p: &mut Policy| {
                change(p);
                if p.owners.is_empty() {
                    p.owners.insert("user2".into());
                    p.muted.clear();
                }
            };
            let extensions = with_policy(&world, liar, keep_owner);
            let delta = Delta::default();
            let commit =
                lie(&mut world, liar, &delta, |b| b.propose_group_context_extensions(extensions).unwrap());
            refused(&mut world, liar, &commit, &delta, &Refusal::NoRight(act));
            tried += 1;
        }
    }
    // Bans, told to the relay as they should be.
    for (liar, target) in [(3, "user2"), (1, "user0")] {
        let extensions = with_policy(&world, liar, |p| {
            p.banned.insert(target.into());
            p.owners.insert("user2".into());
            p.owners.remove(target);
            p.muted.clear();
        });
        let delta = Delta { banned: [target.to_owned()].into(), ..Delta::default() };
        let commit =
            lie(&mut world, liar, &delta, |b| b.propose_group_context_extensions(extensions).unwrap());
        refused(&mut world, liar, &commit, &delta, &Refusal::NoRight(Act::Ban));
        tried += 1;
    }
    let extensions = with_policy(&world, 3, |p| p.banned.clear());
    let delta = Delta { unbanned: ["mallory".to_owned()].into(), ..Delta::default() };
    let commit = lie(&mut world, 3, &delta, |b| b.propose_group_context_extensions(extensions).unwrap());
    refused(&mut world, 3, &commit, &delta, &Refusal::NoRight(Act::Ban));
    did(&format!("{} policy changes without the right were refused by all", tried + 1));
}

#[test]
fn r33_adding_and_removing_without_the_right_is_refused() {
    let mut world = room(32);
    let index = |world: &World, name: &str| {
        world.people[3].borrow().room().leaves().unwrap()[&RoomDevice::new(name, 1)].index
    };
    for (liar, target) in [(3, "user2"), (3, "user0"), (1, "user0")] {
        let delta = Delta { removed: [RoomDevice::new(target, 1)].into(), ..Delta::default() };
        let gone = index(&world, target);
        let commit = lie(&mut world, liar, &delta, |b| b.propose_removals([gone]));
        refused(&mut world, liar, &commit, &delta, &Refusal::NoRight(Act::Kick));
    }
    // Nobody who goes leaves a role behind, whoever takes them out.
    let delta = Delta { removed: [RoomDevice::new("user1", 1)].into(), ..Delta::default() };
    let gone = index(&world, "user1");
    let commit = lie(&mut world, 0, &delta, |b| b.propose_removals([gone]));
    refused(&mut world, 0, &commit, &delta, &Refusal::NoRight(Act::Roles));
    let dave = world.person("dave", 1);
    let package = world.invitee(dave).package;
    let delta = Delta { added: [RoomDevice::new("dave", 1)].into(), ..Delta::default() };
    let commit = lie(&mut world, 3, &delta, |b| b.propose_adds([package]));
    refused(&mut world, 3, &commit, &delta, &Refusal::NoRight(Act::Invite));
    // Somebody who may invite adds a leaf that is in no list, or has another key than the list says.
    let package = world.invitee(dave).package;
    let listed = world.lists.0.remove(&RoomDevice::new("dave", 1)).unwrap();
    let commit = lie(&mut world, 0, &delta, |b| b.propose_adds([package.clone()]));
    refused(&mut world, 0, &commit, &delta, &Refusal::Leaf(RoomDevice::new("dave", 1)));
    world.lists.0.insert(RoomDevice::new("dave", 1), ([9; 32], listed.1));
    let commit = lie(&mut world, 0, &delta, |b| b.propose_adds([package]));
    refused(&mut world, 0, &commit, &delta, &Refusal::Leaf(RoomDevice::new("dave", 1)));
    // And somebody whose own device was taken off its list changes nothing any more.
    world.lists.0.remove(&RoomDevice::new("user3", 1));
    let commit = lie(&mut world, 3, &Delta::default(), |b| b.force_self_update(true));
    refused(&mut world, 3, &commit, &Delta::default(), &Refusal::Leaf(RoomDevice::new("user3", 1)));
}

/// Lists of which nobody knows whether they are the newest.
struct Old<'l>(&'l dyn Directory);

impl Directory for Old<'_> {
    fn look(&self, device: &RoomDevice) -> Listed {
        self.0.look(device)
    }

    fn is_newest(&self, _: &str) -> bool {
        false
    }
}

#[test]
fn r33_whether_a_device_is_listed_no_more_is_said_by_the_newest_list() {
    let mut world = room(38);
    let target = RoomDevice::new("user2", 1);
    let delta = Delta { removed: [target.clone()].into(), ..Delta::default() };
    let gone = world.people[3].borrow().room().leaves().unwrap()[&target].index;
    let commit = lie(&mut world, 3, &delta, |b| b.propose_removals([gone]));
    let judge = |world: &mut World, newest: bool| {
        let mut person = world.people[1].borrow_mut();
        let person = &mut *person;
        let before = person.store.contents();
        let old = Old(&world.lists);
        let lists: &dyn Directory = if newest { &world.lists } else { &old };
        let room = person.room.as_mut().unwrap();
        let verdict =
            room.receive_commit(&person.store, &mut world.rng, &commit, &delta, lists, world.now).unwrap();
        (verdict, person.store.contents() == before)
    };
    // A member may not remove another one. Whether it was its account that took the device off is asked before that is said.
    let asks = Verdict::NeedLists(["user2".to_owned()].into());
    assert_eq!(judge(&mut world, false), (asks, true));
    assert_eq!(judge(&mut world, true), (Verdict::Refuse(Refusal::NoRight(Act::Kick)), true));
    world.lists.0.remove(&target);
    let (verdict, _) = judge(&mut world, true);
    assert!(matches!(verdict, Verdict::Accept(_)), "{verdict:?}");
}

#[test]
fn r33_telling_the_relay_something_else_is_refused() {
    let mut world = room(33);
    let truth = Delta { removed: [RoomDevice::new("user3", 1)].into(), ..Delta::default() };
    let gone = world.people[0].borrow().room().leaves().unwrap()[&RoomDevice::new("user3", 1)].index;
    let lies = [
        Delta::default(),
        Delta { removed: [RoomDevice::new("user2", 1)].into(), ..Delta::default() },
        Delta { added: [RoomDevice::new("ghost", 1)].into(), ..truth.clone() },
        Delta { banned: ["user3".to_owned()].into(), ..truth.clone() },
        Delta { unbanned: ["mallory".to_owned()].into(), ..truth.clone() },
    ];
    for delta in lies {
        // The committer lies to relay and members alike.
        let commit = lie(&mut world, 0, &delta, |b| b.propose_removals([gone]));
        for who in [1, 2] {
            let mut person = world.people[who].borrow_mut();
            let person = &mut *person;
            let room = person.room.as_mut().unwrap();
            let verdict =
                room.receive_commit(&person.store, &mut world.rng, &commit, &delta, &world.lists, world.now);
            assert_eq!(verdict.unwrap(), Verdict::Refuse(Refusal::Delta));
            // The relay delivers another delta than it was told.
            let commit = commit.clone();
            let verdict =
                room.receive_commit(&person.store, &mut world.rng, &commit, &truth, &world.lists, world.now);
            assert_eq!(verdict.unwrap(), Verdict::Refuse(Refusal::Delta));
        }
    }
    let commit = lie(&mut world, 0, &truth, |b| b.propose_removals([gone]));
    let mut person = world.people[1].borrow_mut();
    let person = &mut *person;
    let verdict = person.room.as_mut().unwrap().receive_commit(
        &person.store,
        &mut world.rng,
        &commit,
        &truth,
        &world.lists,
        world.now,
    );
    assert!(matches!(verdict.unwrap(), Verdict::Accept(_)), "the same commit with the truth is followed");
}

#[test]
fn r30_extensions_and_proposals_beyond_the_bounds_are_refused() {
    let mut world = room(34);
    let delta = Delta::default();
    let with = |world: &World, bytes: Vec<u8>| {
        let mut extensions: Vec<_> = with_policy(world, 0, |_| {}).iter().cloned().collect();
        extensions.pop();
        extensions.push(Extension::Unknown(policy::POLICY_EXTENSION, UnknownExtension(bytes)));
        Extensions::from_vec(extensions).unwrap()
    };
    let oversized = with(&world, vec![0; limits::EXTENSIONS_MAX + 1]);
    let commit = lie(&mut world, 0, &delta, |b| b.propose_group_context_extensions(oversized).unwrap());
    refused(&mut world, 0, &commit, &delta, &Refusal::Extension);
    let garbage = with(&world, vec![0; 40]);
    let commit = lie(&mut world, 0, &delta, |b| b.propose_group_context_extensions(garbage).unwrap());
    let malformed = Policy::from_bytes(&[0; 40]).unwrap_err();
    refused(&mut world, 0, &commit, &delta, &Refusal::Policy(malformed));
    let many: Vec<_> =
        (0..=limits::PROPOSALS_MAX).map(|nth| world.person(&format!("extra{nth}"), 1)).collect();
    let packages: Vec<_> = many.iter().map(|who| world.invitee(*who).package).collect();
    let added = many.iter().map(|who| world.people[*who].borrow().id()).collect();
    let delta = Delta { added, ..Delta::default() };
    let commit = lie(&mut world, 0, &delta, |b| b.propose_adds(packages));
    refused(&mut world, 0, &commit, &delta, &Refusal::Proposals);
    let long = vec![0; limits::OBJECT_MAX + 1];
    refused(&mut world, 0, &long, &Delta::default(), &Refusal::Malformed);
}

/// What `who` would send with this header and padding, and no check of its own.
fn say(world: &mut World, who: usize, change: impl FnOnce(&mut Header), pad: bool) -> Vec<u8> {
    let mut person = world.people[who].borrow_mut();
    let person = &mut *person;
    let me = Me {
        account: &person.name,
        account_key: person.account_key,
        device: person.device,
        secrets: &person.secrets,
    };
    let mut room = Room::load(&person.store, ROOM).unwrap().unwrap();
    let mut header = Header {
        sender_account: person.name.clone(),
        sender_account_key: person.account_key,
        sender_device: person.device,
        recipient: Recipient::Room { room: ROOM, generation: 0, epoch: room.epoch() },
        conversation: Conversation::Room(ROOM),
        message_id: [1; 16],
        counter: 1,
        prev_hash: [0; 32],
    };
    change(&mut header);
    let plain = binding::encode(&header, b"text");
    let plain = if pad { padding::pad(plain).unwrap() } else { plain };
    let provider = Provider::new(&person.store, &mut world.rng);
    room.group.create_message(&provider, &me, &plain).unwrap().to_bytes().unwrap()
}

#[test]
fn r14_a_message_under_another_name_or_for_another_room_is_discarded() {
    let mut world = room(35);
    let zero = world.people[0].borrow().account_key;
    type Lies = Vec<(Box<dyn FnOnce(&mut Header)>, bool, Option<Refusal>)>;
    let lies: Lies = vec![
        (
            Box::new(move |h| (h.sender_account, h.sender_account_key) = ("user0".into(), zero)),
            true,
            Some(Refusal::Binding(binding::BindingError::Sender)),
        ),
        (Box::new(|h| h.sender_device = 2), true, Some(Refusal::Binding(binding::BindingError::Sender))),
        (
            Box::new(|h| h.recipient = Recipient::Room { room: [1; 16], generation: 0, epoch: 0 }),
            true,
            Some(Refusal::Binding(binding::BindingError::Recipient)),
        ),
        (
            Box::new(|h| h.conversation = Conversation::direct("user0", "user3")),
            true,
            Some(Refusal::Binding(binding::BindingError::Slot)),
        ),
        (Box::new(|_| {}), false, Some(Refusal::Padding)),
        (Box::new(|_| {}), true, None),
    ];
    for (change, pad, expected) in lies {
        let bytes = say(&mut world, 3, change, pad);
        let mut person = world.people[0].borrow_mut();
        let person = &mut *person;
        let before = person.store.contents();
        let room = person.room.as_mut().unwrap();
        let opened = room.open(&person.store, &mut world.rng, &bytes, &world.lists, world.now).unwrap();
        match expected {
            Some(refusal) => {
                assert_eq!(opened, Err(refusal));
                assert_eq!(person.store.contents(), before);
            }
            None => assert_eq!(opened.unwrap().content, b"text"),
        }
    }
    // Who is muted is not heard, whatever its client does.
    let bytes = say(&mut world, 2, |_| {}, true);
    world.log.push(Entry::Message(bytes));
    world.sync(0);
    assert_eq!(world.refusals(0), [Refusal::Muted]);
}

/// Primitives that seal garbage to the others: a commit whose signature is right and whose path nobody can use.
struct Broken(Primitives);

struct BrokenProvider<'a>(Broken, Storage<'a>);

impl<'a> OpenMlsProvider for BrokenProvider<'a> {
    type CryptoProvider = Broken;
    type RandProvider = Primitives;
    type StorageProvider = Storage<'a>;

    fn storage(&self) -> &Self::StorageProvider {
        &self.1
    }

    fn crypto(&self) -> &Broken {
        &self.0
    }

    fn rand(&self) -> &Primitives {
        &self.0.0
    }
}

type Done<T> = Result<T, CryptoError>;

#[rustfmt::skip]
impl OpenMlsCrypto for Broken {
    fn supports(&self, c: Ciphersuite) -> Done<()> { self.0.supports(c) }
    fn supported_ciphersuites(&self) -> Vec<Ciphersuite> { self.0.supported_ciphersuites() }
    fn hkdf_extract(&self, h: HashType, s: &[u8], i: &[u8]) -> Done<SecretVLBytes> { self.0.hkdf_extract(h, s, i) }
    fn hmac(&self, h: HashType, k: &[u8], m: &[u8]) -> Done<SecretVLBytes> { self.0.hmac(h, k, m) }
    fn hkdf_expand(&self, h: HashType, p: &[u8], i: &[u8], l: usize) -> Done<SecretVLBytes> { self.0.hkdf_expand(h, p, i, l) }
    fn hash(&self, h: HashType, d: &[u8]) -> Done<Vec<u8>> { self.0.hash(h, d) }
    fn aead_encrypt(&self, a: AeadType, k: &[u8], d: &[u8], n: &[u8], aad: &[u8]) -> Done<Vec<u8>> { self.0.aead_encrypt(a, k, d, n, aad) }
    fn aead_decrypt(&self, a: AeadType, k: &[u8], d: &[u8], n: &[u8], aad: &[u8]) -> Done<Vec<u8>> { self.0.aead_decrypt(a, k, d, n, aad) }
    fn signature_key_gen(&self, a: SignatureScheme) -> Done<(Vec<u8>, Vec<u8>)> { self.0.signature_key_gen(a) }
    fn verify_signature(&self, a: SignatureScheme, d: &[u8], p: &[u8], s: &[u8]) -> Done<()> { self.0.verify_signature(a, d, p, s) }
    fn sign(&self, a: SignatureScheme, d: &[u8], k: &[u8]) -> Done<Vec<u8>> { self.0.sign(a, d, k) }
    fn hpke_seal(&self, c: HpkeConfig, p: &[u8], i: &[u8], a: &[u8], t: &[u8]) -> Done<HpkeCiphertext> {
        let mut sealed = self.0.hpke_seal(c, p, i, a, t)?;
        sealed.ciphertext = vec![0; sealed.ciphertext.as_slice().len()].into();
        Ok(sealed)
    }
    fn hpke_open(&self, c: HpkeConfig, i: &HpkeCiphertext, s: &[u8], f: &[u8], a: &[u8]) -> Done<Vec<u8>> { self.0.hpke_open(c, i, s, f, a) }
    fn hpke_setup_sender_and_export(&self, c: HpkeConfig, p: &[u8], i: &[u8], x: &[u8], l: usize) -> Done<(KemOutput, ExporterSecret)> { self.0.hpke_setup_sender_and_export(c, p, i, x, l) }
    fn hpke_setup_receiver_and_export(&self, c: HpkeConfig, e: &[u8], s: &[u8], i: &[u8], x: &[u8], l: usize) -> Done<ExporterSecret> { self.0.hpke_setup_receiver_and_export(c, e, s, i, x, l) }
    fn derive_hpke_keypair(&self, c: HpkeConfig, i: &[u8]) -> Done<HpkeKeyPair> { self.0.derive_hpke_keypair(c, i) }
}

fn brick(world: &mut World, who: usize) -> Vec<u8> {
    let person = world.people[who].borrow();
    let person: &Person = &person;
    let mut room = Room::load(&person.store, ROOM).unwrap().unwrap();
    let copy = person.store.clone();
    let provider = BrokenProvider(Broken(Primitives::new(&mut world.rng)), Storage::new(Draft::new(&copy)));
    room.group.set_aad(Delta::default().hash(&ROOM, 0, room.epoch()).to_vec());
    let bundle = room
        .group
        .commit_builder()
        .force_self_update(true)
        .load_psks(provider.storage())
        .unwrap()
        .build(provider.rand(), provider.crypto(), &person.me(), |_| true)
        .unwrap()
        .stage_commit(&provider)
        .unwrap();
    bundle.into_commit().to_bytes().unwrap()
}

#[test]
fn r31_a_commit_that_bricks_the_room_is_refused_and_an_owner_mends_it() {
    let mut world = World::room_of(36, 4, Suite::Hybrid, Visibility::Private);
    let commit = brick(&mut world, 3);
    refused(&mut world, 3, &commit, &Delta::default(), &Refusal::Unreadable);
    // The relay counted it, though: its epoch is one ahead, and nobody's commit is taken any more.
    world.epoch += 1;
    let made = world.make(1, Plan { renew: true, ..Plan::default() }).unwrap();
    assert!(!world.offer(&made));
    // An owner reboots; the same members go on under the same policy.
    let policy = world.people[0].borrow().room().policy().clone();
    let invitees: Vec<_> = (1..3).map(|who| world.invitee(who)).collect();
    let made = {
        let mut person = world.people[0].borrow_mut();
        let room = person.room.take().unwrap();
        let made = room.reboot(
            &person.store,
            &mut world.rng,
            person.me(),
            &world.owner_key,
            invitees,
            &world.lists,
            world.now,
        );
        let (mut room, made) = made.unwrap();
        room.merge_pending(&person.store, &mut world.rng, &made.hash, world.now).unwrap();
        person.room = Some(room);
        made
    };
    (world.generation, world.epoch) = (1, 1);
    for who in 1..3 {
        let mut person = world.people[who].borrow_mut();
        let room = person.room.take().unwrap();
        let welcome = made.welcome.as_ref().unwrap();
        // Not without the owner key's signature, nor with another welcome.
        let forged = OwnerKey::generate(&mut world.rng).sign_reboot(&made.reboot);
        let before = person.store.contents();
        let denied = room.follow_reboot(
            &person.store,
            &mut world.rng,
            person.me(),
            &made.reboot,
            &forged,
            welcome,
            &world.lists,
        );
        assert!(matches!(denied, Err(RoomError::Refused(Refusal::NoRight(Act::OwnerKey)))));
        assert_eq!(person.store.contents(), before);
        let room = Room::load(&person.store, ROOM).unwrap().unwrap();
        let joined = room.follow_reboot(
            &person.store,
            &mut world.rng,
            person.me(),
            &made.reboot,
            &made.signature,
            welcome,
            &world.lists,
        );
        person.room = Some(joined.unwrap().room);
    }
    world.people[3].borrow_mut().room = None;
    world.post(2, b"it works again");
    world.agree();
    let after = world.people[1].borrow().room().policy().clone();
    assert_eq!(Policy { generation: 0, ..after }, policy);
    assert_eq!(world.texts(1).last().unwrap(), b"it works again");
}

#[test]
fn r31_only_an_owner_with_the_key_reboots_and_nobody_new_comes_with_it() {
    let mut world = World::room_of(37, 3, Suite::Classic, Visibility::Private);
    let stranger = world.person("mallory", 1);
    for (who, guests) in [(1, vec![2]), (0, vec![1, stranger])] {
        let invitees = guests.iter().map(|who| world.invitee(*who)).collect();
        let person = world.people[who].borrow();
        let room = Room::load(&person.store, ROOM).unwrap().unwrap();
        let denied = room.reboot(
            &person.store,
            &mut world.rng,
            person.me(),
            &world.owner_key,
            invitees,
            &world.lists,
            world.now,
        );
        assert!(matches!(denied, Err(RoomError::Refused(Refusal::NoRight(_)))));
    }
    world.post(1, b"still here");
    world.agree();
}
