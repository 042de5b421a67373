//! What rooms cost: ours, with the rules and the encrypted store on disk, beside OpenMLS alone in memory with its own
//! primitives, in one run.
//!
//! `cargo bench -p subrosa-bench --bench rooms`; `SUBROSA_BENCH_ROOM_SIZES` (default `10,100,1000`) sets the sizes,
//! `SUBROSA_BENCH_ROUNDS` how often each is measured (default 11). Each round does the same with both, one after the other;
//! a ratio is the median of the rounds' ratios. Times are wall time, durable commits to the disk included: ours end when
//! the store has answered. The state is that of a room in which two members have renewed their leaves and posted.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::time::Instant;

use getrandom::SysRng;
use openmls::group::{MlsGroup, MlsGroupCreateConfig, MlsGroupJoinConfig, StagedWelcome};
use openmls::prelude::{
    BasicCredential, Capabilities, Ciphersuite, CredentialWithKey, KeyPackage, MlsMessageIn, OpenMlsProvider,
    ProcessedMessageContent, SenderRatchetConfiguration,
};
use openmls_libcrux_crypto::Provider;
use openmls_traits::crypto::OpenMlsCrypto;
use openmls_traits::signatures::{Signer, SignerError};
use openmls_traits::types::SignatureScheme;
use rand_core::UnwrapErr;
use subrosa_bench::report::{Row, Table};
use subrosa_client::store::Store;
use subrosa_crypto::device::DeviceSecrets;
use subrosa_rooms::{
    Delta, Invitee, Listed, Me, OwnerKey, Plan, Policy, Room, RoomDevice, RoomError, Slot, Suite, Verdict,
    Visibility, key_packages, limits, store::MemoryStore,
};

/// What one round took, ours and theirs, in microseconds.
type Pair = ([f64; 9], [f64; 9]);

const NOW: u64 = 1_800_000_000_000;
const ROOM: [u8; 16] = [7; 16];
const TEXT: [u8; 600] = [7; 600];
const STEPS: [&str; 9] = [
    "post 600 B: sender",
    "post 600 B: receiver",
    "add one: committer",
    "add one: receiver",
    "add one: who joins",
    "renew a leaf: committer",
    "renew a leaf: receiver",
    "remove one: committer",
    "remove one: receiver",
];

fn main() {
    let rounds = std::env::var("SUBROSA_BENCH_ROUNDS").map_or(11, |rounds| rounds.parse().unwrap());
    let sizes = std::env::var("SUBROSA_BENCH_ROOM_SIZES").unwrap_or_else(|_| "10,100,1000".into());
    let mut tables = Vec::new();
    for size in sizes.split(',').map(|size| size.parse::<usize>().unwrap()) {
        for suite in Suite::ALL.into_iter().filter(|suite| size <= suite.leaves_max()) {
            // Two places stay free: for the one that is added, and for whoever joins besides.
            let size = size.min(suite.leaves_max() - 2);
            let (mut ours, mut theirs) = (Ours::new(size, suite), Theirs::new(size, suite));
            let mut measured = Vec::new();
            for round in 0..=rounds {
                let pair = (ours.round(), theirs.round());
                // The first one fills caches.
                if round > 0 {
                    measured.push(pair);
                }
            }
            let mut table = Table::new(format!("{size} members, {}", suite.name()));
            for (nth, step) in STEPS.into_iter().enumerate() {
                let of = |value: &dyn Fn(&Pair) -> f64| median(measured.iter().map(value).collect());
                let (mine, alone) = (of(&|m| m.0[nth]), of(&|m| m.1[nth]));
                let ratio = of(&|m| m.0[nth] / m.1[nth]);
                let row =
                    Row::new(step, shown(mine)).beside(format!("OpenMLS in memory {}", shown(alone)), ratio);
                // A message is a durable commit and 100 microseconds of computing: it has no goal beside memory.
                table.row(if nth < 2 { row } else { row.goal("1.5", ratio <= 1.5) });
            }
            table.print();
            tables.push(table);
        }
    }
    let missed: usize = tables.iter().map(|table| table.score().0).sum();
    println!("\n{missed} goals missed");
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn shown(us: f64) -> String {
    if us < 10_000.0 { format!("{us:.0} µs") } else { format!("{:.1} ms", us / 1e3) }
}

fn timed<T>(into: &mut f64, work: impl FnOnce() -> T) -> T {
    let started = Instant::now();
    let done = work();
    *into = started.elapsed().as_secs_f64() * 1e6;
    done
}

fn rng() -> UnwrapErr<SysRng> {
    UnwrapErr(SysRng)
}

/// A member with a store on disk, and its room in memory as the engine keeps it.
struct Member {
    name: String,
    secrets: DeviceSecrets,
    store: Store,
    room: Option<Room>,
    _folder: tempfile::TempDir,
}

struct Ours {
    alice: Member,
    bob: Member,
    keys: Vec<[u8; 32]>,
    suite: Suite,
    guests: usize,
}

type Failed = RoomError;

fn me<'a>(name: &'a str, secrets: &'a DeviceSecrets) -> Me<'a> {
    Me { account: name, account_key: [1; 32], device: 1, secrets }
}

/// Everybody is `userN`, and its key the Nth.
fn lists(keys: &[[u8; 32]]) -> impl Fn(&RoomDevice) -> Listed + '_ {
    |device| {
        let nth = device.account.strip_prefix("user").and_then(|nth| nth.parse::<usize>().ok());
        nth.and_then(|nth| keys.get(nth))
            .map_or(Listed::Absent, |key| Listed::Listed { signing_key: *key, account_key: [1; 32] })
    }
}

impl Member {
    fn new(name: String, secrets: DeviceSecrets) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open_at(&folder.path().join("store"), &[1; 32]).unwrap();
        Self { name, secrets, store, room: None, _folder: folder }
    }

    fn commit(&mut self, plan: Plan, keys: &[[u8; 32]]) -> (Vec<u8>, Delta, Option<Vec<u8>>) {
        let Self { name, secrets, store, room, .. } = self;
        let room = room.as_mut().unwrap();
        let made: Result<_, Failed> =
            store.transaction(|tx| room.commit(tx, &mut rng(), me(name, secrets), plan, &lists(keys), NOW));
        let made = made.unwrap();
        let merged: Result<_, Failed> =
            store.transaction(|tx| room.merge_pending(tx, &mut rng(), &made.hash, NOW));
        merged.unwrap();
        (made.commit, made.delta, made.welcome)
    }

    fn follow(&mut self, commit: &[u8], delta: &Delta, keys: &[[u8; 32]]) {
        let Self { store, room, .. } = self;
        let verdict: Result<_, Failed> = store.transaction(|tx| {
            room.as_mut().unwrap().receive_commit(tx, &mut rng(), commit, delta, &lists(keys), NOW)
        });
        assert!(matches!(verdict.unwrap(), Verdict::Accept(_)));
    }

    fn join(&mut self, welcome: &[u8], keys: &[[u8; 32]]) {
        let Self { name, secrets, store, .. } = self;
        let joined: Result<_, Failed> = store
            .transaction(|tx| Room::join(tx, &mut rng(), me(name, secrets), welcome, ROOM, 0, &lists(keys)));
        self.room = Some(joined.unwrap().room);
    }

    fn package(&mut self, suite: Suite, keys: &[[u8; 32]]) -> Invitee {
        let Self { name, secrets, store, .. } = self;
        let made: Result<_, Failed> =
            store.transaction(|tx| key_packages::make(tx, &mut rng(), me(name, secrets), suite, false, NOW));
        let device = RoomDevice::new(name.clone(), 1);
        key_packages::check(&made.unwrap().bytes, &device, suite, &lists(keys), NOW).unwrap()
    }
}

impl Ours {
    fn new(size: usize, suite: Suite) -> Self {
        let secrets: Vec<_> = (0..size).map(|_| DeviceSecrets::generate(&mut rng())).collect();
        let keys: Vec<_> = secrets.iter().map(|secrets| secrets.verifying_key().0).collect();
        let mut secrets = secrets.into_iter();
        let mut alice = Member::new("user0".into(), secrets.next().unwrap());
        let mut bob = Member::new("user1".into(), secrets.next().unwrap());
        let owner = OwnerKey::generate(&mut rng()).public();
        let policy = Policy::new(ROOM, Visibility::Private, "Room", "user0", owner);
        let room: Result<_, Failed> = alice
            .store
            .transaction(|tx| Room::create(tx, &mut rng(), me("user0", &alice.secrets), &policy, suite, NOW));
        alice.room = Some(room.unwrap());
        let add = vec![bob.package(suite, &keys)];
        let (_, _, welcome) = alice.commit(Plan { add, ..Plan::default() }, &keys);
        bob.join(&welcome.unwrap(), &keys);
        let others: Vec<_> = secrets
            .enumerate()
            .map(|(nth, secrets)| {
                let name = format!("user{}", nth + 2);
                let made = key_packages::make(
                    &MemoryStore::new(),
                    &mut rng(),
                    me(&name, &secrets),
                    suite,
                    false,
                    NOW,
                )
                .unwrap();
                key_packages::check(&made.bytes, &RoomDevice::new(name, 1), suite, &lists(&keys), NOW)
                    .unwrap()
            })
            .collect();
        for add in others.chunks(limits::PROPOSALS_MAX) {
            let (commit, delta, _) = alice.commit(Plan { add: add.to_vec(), ..Plan::default() }, &keys);
            bob.follow(&commit, &delta, &keys);
        }
        Self { alice, bob, keys, suite, guests: size }
    }

    fn round(&mut self) -> [f64; 9] {
        let Self { alice, bob, keys, suite, guests } = self;
        let mut took = [0.0; 9];
        let sealed: Result<_, Failed> = timed(&mut took[0], || {
            let Member { name, secrets, store, room, .. } = alice;
            let room = room.as_mut().unwrap();
            store.transaction(|tx| {
                room.seal(tx, &mut rng(), me(name, secrets), [1; 16], Slot::Next, &TEXT, NOW)
            })
        });
        let sealed = sealed.unwrap().bytes;
        let opened: Result<_, Failed> = timed(&mut took[1], || {
            let Member { store, room, .. } = bob;
            store.transaction(|tx| room.as_mut().unwrap().open(tx, &mut rng(), &sealed, &lists(keys), NOW))
        });
        opened.unwrap().unwrap();
        let secrets = DeviceSecrets::generate(&mut rng());
        keys.push(secrets.verifying_key().0);
        let mut guest = Member::new(format!("user{guests}"), secrets);
        *guests += 1;
        let invitee = guest.package(*suite, keys);
        let plan = Plan { add: vec![invitee], ..Plan::default() };
        let (commit, delta, welcome) = timed(&mut took[2], || alice.commit(plan, keys));
        timed(&mut took[3], || bob.follow(&commit, &delta, keys));
        timed(&mut took[4], || guest.join(&welcome.unwrap(), keys));
        let plan = Plan { renew: true, ..Plan::default() };
        let (commit, delta, _) = timed(&mut took[5], || alice.commit(plan, keys));
        timed(&mut took[6], || bob.follow(&commit, &delta, keys));
        let plan = Plan { remove: [RoomDevice::new(guest.name, 1)].into(), ..Plan::default() };
        let (commit, delta, _) = timed(&mut took[7], || alice.commit(plan, keys));
        timed(&mut took[8], || bob.follow(&commit, &delta, keys));
        took
    }
}

/// OpenMLS with its own primitives and a map in memory.
struct Alone {
    provider: Provider,
    credential: CredentialWithKey,
    key: Vec<u8>,
    group: Option<MlsGroup>,
}

struct Theirs {
    alice: Alone,
    bob: Alone,
    suite: Ciphersuite,
    guests: usize,
}

impl Signer for Alone {
    fn sign(&self, payload: &[u8]) -> Result<Vec<u8>, SignerError> {
        self.provider
            .crypto()
            .sign(SignatureScheme::ED25519, payload, &self.key)
            .map_err(SignerError::CryptoError)
    }

    fn signature_scheme(&self) -> SignatureScheme {
        SignatureScheme::ED25519
    }
}

/// The same key again, to sign with while the group is borrowed.
struct Key<'a>(&'a Provider, &'a [u8]);

impl Signer for Key<'_> {
    fn sign(&self, payload: &[u8]) -> Result<Vec<u8>, SignerError> {
        self.0.crypto().sign(SignatureScheme::ED25519, payload, self.1).map_err(SignerError::CryptoError)
    }

    fn signature_scheme(&self) -> SignatureScheme {
        SignatureScheme::ED25519
    }
}

fn join_config() -> MlsGroupJoinConfig {
    MlsGroupJoinConfig::builder()
        .max_past_epochs(limits::PAST_EPOCHS)
        .use_ratchet_tree_extension(true)
        .sender_ratchet_configuration(ratchets())
        .build()
}

fn ratchets() -> SenderRatchetConfiguration {
    SenderRatchetConfiguration::new(limits::OUT_OF_ORDER, limits::FORWARD)
}

impl Alone {
    fn new(name: &str) -> Self {
        let provider = Provider::new().unwrap();
        let (key, public) = provider.crypto().signature_key_gen(SignatureScheme::ED25519).unwrap();
        let credential = CredentialWithKey {
            credential: BasicCredential::new(name.as_bytes().to_vec()).into(),
            signature_key: public.as_slice().into(),
        };
        Self { provider, credential, key, group: None }
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::for_provider(self.provider.crypto())
    }

    fn package(&self, suite: Ciphersuite) -> KeyPackage {
        let builder = KeyPackage::builder().leaf_node_capabilities(self.capabilities());
        builder.build(suite, &self.provider, self, self.credential.clone()).unwrap().into_key_package()
    }

    /// A commit, merged: its bytes and the welcome.
    fn commit(
        &mut self,
        add: Vec<KeyPackage>,
        remove: Option<&[u8]>,
        renew: bool,
    ) -> (Vec<u8>, Option<Vec<u8>>) {
        let Self { provider, key, group, .. } = self;
        let group = group.as_mut().unwrap();
        let gone =
            remove.and_then(|name| group.members().find(|m| m.credential.serialized_content() == name));
        let made = group
            .commit_builder()
            .force_self_update(renew)
            .propose_adds(add)
            .propose_removals(gone.map(|member| member.index))
            .load_psks(provider.storage())
            .unwrap()
            .build(provider.rand(), provider.crypto(), &Key(provider, key), |_| true)
            .unwrap()
            .stage_commit(provider)
            .unwrap();
        let (commit, welcome, _) = made.into_messages();
        group.merge_pending_commit(provider).unwrap();
        (commit.to_bytes().unwrap(), welcome.map(|welcome| welcome.to_bytes().unwrap()))
    }

    fn read(&mut self, bytes: &[u8]) {
        let message = read(bytes).try_into_protocol_message().unwrap();
        let group = self.group.as_mut().unwrap();
        match group.process_message(&self.provider, message).unwrap().into_content() {
            ProcessedMessageContent::StagedCommitMessage(staged) => {
                group.merge_staged_commit(&self.provider, *staged).unwrap();
            }
            ProcessedMessageContent::ApplicationMessage(text) => assert_eq!(text.into_bytes().len(), 1_024),
            _ => panic!("neither a commit nor a message"),
        }
    }

    fn join(&mut self, welcome: &[u8]) {
        let welcome = match read(welcome).extract() {
            openmls::prelude::MlsMessageBodyIn::Welcome(welcome) => welcome,
            _ => panic!("no welcome"),
        };
        let staged = StagedWelcome::new_from_welcome(&self.provider, &join_config(), welcome, None).unwrap();
        self.group = Some(staged.into_group(&self.provider).unwrap());
    }
}

fn read(bytes: &[u8]) -> MlsMessageIn {
    <MlsMessageIn as openmls::prelude::tls_codec::Deserialize>::tls_deserialize_exact(bytes).unwrap()
}

impl Theirs {
    fn new(size: usize, suite: Suite) -> Self {
        let suite = Ciphersuite::from(suite);
        let mut alice = Alone::new("user0");
        let mut bob = Alone::new("user1");
        let config = MlsGroupCreateConfig::builder()
            .ciphersuite(suite)
            .capabilities(alice.capabilities())
            .max_past_epochs(limits::PAST_EPOCHS)
            .use_ratchet_tree_extension(true)
            .sender_ratchet_configuration(ratchets())
            .build();
        alice.group =
            Some(MlsGroup::new(&alice.provider, &alice, &config, alice.credential.clone()).unwrap());
        let (_, welcome) = alice.commit(vec![bob.package(suite)], None, false);
        bob.join(&welcome.unwrap());
        let others: Vec<_> = (2..size).map(|nth| Alone::new(&format!("user{nth}")).package(suite)).collect();
        for add in others.chunks(limits::PROPOSALS_MAX) {
            let (commit, _) = alice.commit(add.to_vec(), None, false);
            bob.read(&commit);
        }
        Self { alice, bob, suite, guests: size }
    }

    fn round(&mut self) -> [f64; 9] {
        let Self { alice, bob, suite, guests } = self;
        let mut took = [0.0; 9];
        // What 600 bytes become with their header and padding.
        let sealed = timed(&mut took[0], || {
            let Alone { provider, key, group, .. } = alice;
            let sealed = group.as_mut().unwrap().create_message(provider, &Key(provider, key), &[7; 1_024]);
            sealed.unwrap().to_bytes().unwrap()
        });
        timed(&mut took[1], || bob.read(&sealed));
        let name = format!("user{guests}");
        *guests += 1;
        let mut guest = Alone::new(&name);
        let package = guest.package(*suite);
        let (commit, welcome) = timed(&mut took[2], || alice.commit(vec![package], None, false));
        timed(&mut took[3], || bob.read(&commit));
        timed(&mut took[4], || guest.join(&welcome.unwrap()));
        let (commit, _) = timed(&mut took[5], || alice.commit(Vec::new(), None, true));
        timed(&mut took[6], || bob.read(&commit));
        let (commit, _) = timed(&mut took[7], || alice.commit(Vec::new(), Some(name.as_bytes()), false));
        timed(&mut took[8], || bob.read(&commit));
        took
    }
}
