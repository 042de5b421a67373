//! Golden bytes: every frame of the wire, whole, in `golden.txt`. A change of these bytes is a change of the protocol.
//!
//! A line is the list, the frame's name and its bytes in hexadecimal: length, kind, flags, id, body. To add the line of
//! a new frame, run this test with `BLESS=1` and look at the difference before committing it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::{collections::BTreeMap, fmt::Write, path::Path};

use bytes::BytesMut;
use data_encoding::HEXLOWER;
use serde_bytes::ByteArray;
use subrosa_protocol::{
    BoundedBytes, BoundedStr, BoundedVec, DeviceId, EntryId, EnvelopeId, ErrorCode, FrameDecoder, FrameError,
    RawFrame, RoomId, Slug, Username, frames::*,
};

const ID: u32 = 0x0102_0304;

fn name() -> Username {
    Username::new("alice").unwrap()
}
fn device(number: u32) -> DeviceId {
    DeviceId::new(number).unwrap()
}
fn bytes<const MAX: usize>(byte: u8, len: usize) -> BoundedBytes<MAX> {
    BoundedBytes::new(vec![byte; len]).unwrap()
}
fn array<const N: usize>(byte: u8) -> ByteArray<N> {
    ByteArray::new([byte; N])
}
fn vec<T, const MAX: usize>(items: Vec<T>) -> BoundedVec<T, MAX> {
    BoundedVec::new(items).ok().unwrap()
}
fn list() -> SignedList {
    SignedList { bytes: bytes(0xa1, 3), signature: array(0xa2) }
}
fn prekeys() -> Prekeys {
    Prekeys { signed: array(0xb1), last_resort: array(0xb2) }
}
fn counts() -> PrekeyCounts {
    PrekeyCounts { one_time: 100, kem: 19 }
}
fn envelope() -> MailboxEnvelope {
    MailboxEnvelope {
        seq: 300,
        id: EnvelopeId::from_bytes([0xc1; 16]),
        accepted_at: 1_763_683_200_000,
        sealed: bytes(0xc2, 5),
    }
}
fn error() -> ErrorFrame {
    ErrorFrame {
        code: ErrorCode::RateLimited,
        retry_after_ms: Some(70_000),
        detail: BoundedStr::new("too many requests").unwrap(),
    }
}

fn room() -> RoomId {
    RoomId::from_bytes([0x71; 16])
}
fn entry_id() -> EntryId {
    EntryId::from_bytes([0x72; 16])
}
fn hash(byte: u8) -> ObjectHash {
    ObjectHash([byte; 32])
}
fn object(byte: u8) -> ObjectRef {
    ObjectRef { hash: hash(byte), size: 70_000 }
}
fn member(number: u32) -> RoomDevice {
    RoomDevice { account: name(), device: device(number) }
}
fn listing() -> Listing {
    Listing {
        slug: Slug::new("rust-lang").unwrap(),
        name: BoundedStr::new("Rüst").unwrap(),
        description: BoundedStr::new("all of it").unwrap(),
    }
}
fn delta() -> RoomDelta {
    RoomDelta {
        added: vec(vec![member(1)]),
        removed: vec(vec![member(2), member(3)]),
        banned: vec(vec![Username::new("mallory").unwrap()]),
        unbanned: vec(vec![name()]),
        listing: ListingChange::Set(listing()),
        owner_key: Some(NewOwnerKey { key: array(0x73), signature: array(0x74) }),
    }
}
fn message() -> RoomEntry {
    RoomEntry {
        seq: 300,
        id: entry_id(),
        kind: EntryKind::Application,
        generation: 1,
        epoch: 4,
        accepted_at: 1_763_683_200_000,
        body: EntryBody::Inline(bytes(0x75, 5)),
        delta: None,
    }
}
fn commit() -> RoomEntry {
    RoomEntry {
        seq: 301,
        kind: EntryKind::Commit,
        body: EntryBody::Object(object(0x76)),
        delta: Some(delta()),
        ..message()
    }
}
fn rebooted() -> RoomEntry {
    let notice = RebootNotice {
        generation: 2,
        epoch: 1,
        welcome: Some(object(0x77)),
        group_info: Some(ObjectHash([0x77; 32])),
        state_hash: [0x78; 32],
        signature: array(0x79),
    };
    RoomEntry { seq: 302, kind: EntryKind::Reboot, body: EntryBody::Reboot(notice), ..message() }
}
fn suites() -> KeyPackageCounts {
    let one = SuiteCount { suite: 1, left: 50, last_resort: true, last_resort_used: false };
    KeyPackageCounts { suites: vec(vec![one, SuiteCount { suite: 0xf00d, left: 3, ..one }]) }
}
fn key_package(number: u32) -> NewKeyPackage {
    NewKeyPackage { key_id: number, expires_at: 1_763_683_200_000, bytes: bytes(0x7a, 6) }
}

fn client_first() -> Vec<ClientFirst> {
    vec![ClientFirst::Hello(ClientHello { min_version: 1, max_version: 1, features: 0 })]
}

fn relay_first() -> Vec<RelayFirst> {
    let hello =
        RelayHello { version: 1, features: 0, nonce: [0xd1; 32], registration: RegistrationPolicy::Invite };
    let refused = ErrorFrame {
        code: ErrorCode::UnsupportedVersion,
        retry_after_ms: None,
        detail: BoundedStr::default(),
    };
    vec![RelayFirst::Hello(hello), RelayFirst::Error(refused)]
}

fn pre_auth() -> Vec<PreAuthRequest> {
    vec![
        PreAuthRequest::Authenticate(Authenticate {
            account: name(),
            device: device(2),
            signature: array(0xd2),
        }),
        PreAuthRequest::RegisterStart(RegisterStart {
            account: name(),
            invite: Some(array(0xd3)),
            opaque: bytes(0xd4, 32),
        }),
        PreAuthRequest::StagePrekeys(StagePrekeys {
            one_time: vec(vec![array(0xd5)]),
            kem: vec(vec![array(0xd6)]),
        }),
        PreAuthRequest::RegisterFinish(RegisterFinish {
            opaque: bytes(0xd7, 192),
            display_name: BoundedStr::new("Alice ä").unwrap(),
            device_list: list(),
            proof: array(0xd8),
            prekeys: prekeys(),
        }),
        PreAuthRequest::LoginStart(LoginStart { account: name(), opaque: bytes(0xd9, 96) }),
        PreAuthRequest::LoginFinish(LoginFinish { opaque: bytes(0xda, 64), renew: None }),
        PreAuthRequest::DeviceAdd(DeviceAdd { device_list: list(), device: device(2), prekeys: prekeys() }),
    ]
}

fn requests() -> Vec<Request> {
    let outgoing = OutgoingEnvelope { id: EnvelopeId::from_bytes([0xe1; 16]), sealed: bytes(0xe2, 4) };
    vec![
        Request::Reauthenticate(Reauthenticate { signature: array(0xe3) }),
        Request::DeviceListFetch(DeviceListFetch { account: name(), since: 250 }),
        Request::PrekeyClaim(PrekeyClaim { account: name(), devices: vec(vec![device(1), device(251)]) }),
        Request::PrekeyUpload(PrekeyUpload {
            signed: Some(array(0xe4)),
            last_resort: None,
            one_time: vec(vec![array(0xe5)]),
            kem: vec(vec![]),
        }),
        Request::PrekeyStatus(Empty {}),
        Request::DeviceListPublish(DeviceListPublish { device_list: list() }),
        Request::KeyPackageUpload(KeyPackageUpload {
            suite: 1,
            packages: vec(vec![key_package(7)]),
            last_resort: Some(key_package(8)),
        }),
        Request::KeyPackageClaim(KeyPackageClaim {
            account: name(),
            devices: vec(vec![device(1)]),
            suite: 0xf00d,
        }),
        Request::KeyPackageStatus(Empty {}),
        Request::RelayShow(Empty {}),
        Request::EnvelopeSend(EnvelopeSend {
            to: name(),
            device: device(1),
            list_version: 3,
            generation: 65_536,
            envelopes: vec(vec![outgoing]),
        }),
        Request::MailboxFetch(MailboxFetch { after: 299, max: 48 }),
        Request::MailboxAck(MailboxAck { up_to: 300, generation: 4_294_967_296 }),
        Request::ObjectPut(ObjectPut { object: object(0x61), offset: 65_536, piece: bytes(0x62, 4) }),
        Request::ObjectGet(ObjectGet { room: room(), hash: hash(0x61), offset: 65_536 }),
        Request::RoomCreate(RoomCreate {
            room: room(),
            owner_key: array(0x63),
            listing: Some(listing()),
            group_info: Some(hash(0x64)),
            state_generation: 9,
        }),
        Request::RoomCommit(RoomCommit {
            room: room(),
            id: entry_id(),
            generation: 1,
            epoch: 4,
            after: 299,
            commit: CommitBody::Inline(bytes(0x65, 7)),
            delta: delta(),
            group_info: Some(hash(0x66)),
            welcome: Some(hash(0x67)),
            invitations: Invitations::Inline(vec(vec![Invitation {
                account: name(),
                device: device(1),
                id: EnvelopeId::from_bytes([0x68; 16]),
                sealed: bytes(0x69, 4),
            }])),
            state_generation: 10,
        }),
        Request::RoomPost(RoomPost {
            room: room(),
            id: entry_id(),
            kind: EntryKind::Application,
            generation: 1,
            epoch: 4,
            bytes: bytes(0x6a, 5),
            state_generation: 11,
        }),
        Request::RoomEphemeral(RoomEphemeral { room: room(), bytes: bytes(0x6b, 3) }),
        Request::RoomAccept(RoomAccept { room: room(), state_generation: 12 }),
        Request::RoomLeave(RoomLeave {
            room: room(),
            account: true,
            proposal: Some(LeaveProposal { id: entry_id(), generation: 1, epoch: 4, bytes: bytes(0x6c, 3) }),
            state_generation: 13,
        }),
        Request::RoomReboot(Reboot {
            room: room(),
            id: entry_id(),
            generation: 1,
            new_generation: 2,
            epoch: 1,
            roster: vec(vec![member(1), member(2)]),
            banned: vec(vec![name()]),
            listing: ListingChange::Remove,
            welcome: Some(hash(0x6d)),
            group_info: None,
            signature: array(0x6e),
            state_generation: 14,
        }),
        Request::RoomSync(RoomSync { room: room(), after: 299, max: 48 }),
        Request::RoomCursor(RoomCursor { room: room(), up_to: 300, state_generation: 15 }),
        Request::RoomShow(RoomShow { room: RoomName::Slug(Slug::new("rust-lang").unwrap()) }),
        Request::RoomRoster(RoomRoster { room: room(), after: Some(member(2)) }),
        Request::RoomLists(RoomLists {
            room: room(),
            accounts: vec(vec![KnownList { account: name(), since: 3 }]),
        }),
        Request::RoomDirectory(RoomDirectory {
            prefix: BoundedStr::new("ru").unwrap(),
            after: Some(Slug::new("ruby").unwrap()),
        }),
        Request::RoomHeads(RoomHeads { after: Some(room()) }),
    ]
}

fn responses() -> Vec<Response> {
    vec![
        Response::Error(error()),
        Response::Done(Empty {}),
        Response::Authenticated(Authenticated {
            generation: 7,
            list_version: 3,
            next_seq: 301,
            prekeys: counts(),
            proof_lifetime_s: 900,
            relay_time: 1_763_683_200_000,
        }),
        Response::RegisterChallenge(RegisterChallenge { opaque: bytes(0xf1, 64) }),
        Response::LoginChallenge(LoginChallenge { opaque: bytes(0xf2, 320) }),
        Response::LoginGranted(LoginGranted { device_list: list() }),
        Response::DeviceLists(DeviceLists {
            lists: vec(vec![list()]),
            more: true,
            display_name: BoundedStr::new("Alice").unwrap(),
        }),
        Response::PrekeyBundles(PrekeyBundles {
            bundles: vec(vec![DeviceBundle {
                device: device(1),
                signed: array(0xf3),
                one_time: Some(array(0xf4)),
                kem: array(0xf5),
            }]),
        }),
        Response::PrekeyCounts(counts()),
        Response::KeyPackageCounts(suites()),
        Response::KeyPackages(KeyPackages {
            packages: vec(vec![ClaimedKeyPackage { device: device(1), bytes: bytes(0x7b, 6) }]),
        }),
        Response::RelayInfo(RelayInfo { lobby: Some(Slug::new("lobby").unwrap()), room_days: 30 }),
        Response::EnvelopeAccepted(EnvelopeAccepted { accepted_at: 1_763_683_200_000 }),
        Response::MailboxPage(MailboxPage { envelopes: vec(vec![envelope()]), more: false }),
        Response::StaleDeviceList(StaleDeviceList {
            version: 4,
            missing: vec(vec![device(2)]),
            extra: vec(vec![]),
        }),
        Response::ObjectPiece(ObjectPiece { size: 70_000, piece: bytes(0x81, 4) }),
        Response::RoomAccepted(RoomAccepted { seq: 301, accepted_at: 1_763_683_200_000 }),
        Response::EpochPassed(EpochPassed {
            generation: 1,
            epoch: 5,
            entries: vec(vec![message(), commit()]),
            more: false,
        }),
        Response::RoomUnreachable(RoomUnreachable {
            missing: vec(vec![member(1)]),
            full: vec(vec![member(2)]),
        }),
        Response::RoomPage(RoomPage {
            entries: vec(vec![message(), rebooted()]),
            more: true,
            gap: false,
            head: 305,
            generation: 2,
            epoch: 1,
        }),
        Response::RoomInfo(RoomInfo {
            room: room(),
            listing: Some(listing()),
            generation: 2,
            epoch: 1,
            head: 305,
            devices: 7,
            accounts: 4,
            owner_key: array(0x82),
            group_info: Some(object(0x83)),
            standing: Standing::Invited,
            cursor: 250,
        }),
        Response::RoomRosterPage(RoomRosterPage {
            devices: vec(vec![RosterDevice { device: member(1), joined: true }]),
            more: true,
            head: 305,
        }),
        Response::RoomListsPage(RoomListsPage {
            accounts: vec(vec![AccountLists {
                account: name(),
                lists: vec(vec![list()]),
                more: false,
                display_name: BoundedStr::new("Alice").unwrap(),
            }]),
            answered: 1,
        }),
        Response::RoomDirectoryPage(RoomDirectoryPage {
            rooms: vec(vec![PublicRoom { room: room(), listing: listing(), accounts: 4 }]),
            more: false,
        }),
        Response::RoomHeadsPage(RoomHeadsPage {
            rooms: vec(vec![RoomHead {
                room: room(),
                standing: Standing::Joined,
                generation: 1,
                epoch: 4,
                head: 305,
            }]),
            more: true,
        }),
    ]
}

fn pushes() -> Vec<Push> {
    vec![
        Push::Deliver(envelope()),
        Push::SyncHint(Empty {}),
        Push::PrekeysLow(counts()),
        Push::ReauthChallenge(ReauthChallenge { nonce: array(0xf6), within_s: 30 }),
        Push::DeviceListChanged(DeviceListChanged { version: 4 }),
        Push::Closing(Closing { reason: CloseReason::Replaced }),
        Push::KeyPackagesLow(suites()),
        Push::RoomDeliver(RoomDeliver { room: room(), entry: Box::new(message()) }),
        Push::RoomHint(RoomHint { room: room(), seq: 305 }),
        Push::RoomSignal(RoomEphemeral { room: room(), bytes: bytes(0x6b, 3) }),
        Push::RoomChanged(RoomChanged { room: room(), change: RoomChange::Gone }),
    ]
}

/// Checks that a list is complete and reads back what it writes, and returns its lines.
fn lines<T: PartialEq + std::fmt::Debug>(
    list: &str,
    kinds: &[(u16, &str)],
    samples: &[T],
    id: u32,
    to_raw: impl Fn(&T, u32) -> Result<RawFrame, FrameError>,
    write_to: impl Fn(&T, u32, &mut BytesMut) -> Result<(), FrameError>,
    from_raw: impl Fn(&RawFrame) -> Result<T, FrameError>,
) -> BTreeMap<String, String> {
    assert_eq!(kinds.len(), samples.len(), "{list}: every frame has one sample");
    let mut lines = BTreeMap::new();
    for (sample, (kind, name)) in samples.iter().zip(kinds) {
        let raw = to_raw(sample, id).unwrap();
        assert_eq!(raw.kind, *kind, "{list}: samples stand in the order of the list");
        let mut wire = BytesMut::new();
        raw.write_to(&mut wire).unwrap();
        let mut placed = BytesMut::from(&b"before"[..]);
        write_to(sample, id, &mut placed).unwrap();
        assert_eq!(placed[6..], wire, "{list} {name}: encoded in its place");
        let hex = HEXLOWER.encode(&wire);
        let again = FrameDecoder::authenticated().next_frame(&mut wire).unwrap().unwrap();
        assert_eq!(&from_raw(&again).unwrap(), sample, "{list} {name}");
        lines.insert(format!("{list} {name}"), hex);
    }
    lines
}

fn all() -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    macro_rules! list {
        ($name:ident, $samples:expr, $id:expr) => {
            all.extend(lines(
                stringify!($name),
                $name::KINDS,
                &$samples,
                $id,
                $name::to_raw,
                $name::write_to,
                $name::from_raw,
            ));
        };
    }
    list!(ClientFirst, client_first(), 0);
    list!(RelayFirst, relay_first(), 0);
    list!(PreAuthRequest, pre_auth(), ID);
    list!(Request, requests(), ID);
    list!(Response, responses(), ID);
    list!(Push, pushes(), 0);
    all
}

#[test]
fn every_frame_has_the_bytes_it_always_had() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden.txt");
    let now = all();
    if std::env::var_os("BLESS").is_some() {
        let text = now.iter().fold(String::new(), |mut text, (name, hex)| {
            writeln!(text, "{name} {hex}").unwrap();
            text
        });
        std::fs::write(&path, text).unwrap();
    }
    let text = std::fs::read_to_string(&path).unwrap();
    let golden: BTreeMap<String, String> = text
        .lines()
        .map(|line| line.rsplit_once(' ').unwrap())
        .map(|(name, hex)| (name.to_owned(), hex.to_owned()))
        .collect();
    for (name, hex) in &golden {
        assert_eq!(now.get(name), Some(hex), "{name}");
    }
    assert_eq!(now.len(), golden.len(), "every frame stands in golden.txt");
}

#[test]
fn a_push_of_an_envelope_that_stays_is_the_same_push() {
    let (mut one, mut other) = (BytesMut::new(), BytesMut::new());
    Push::write_deliver(&envelope(), &mut one).unwrap();
    Push::Deliver(envelope()).write_to(0, &mut other).unwrap();
    assert_eq!(one, other);
}

/// A page that is too large leaves nothing behind, wherever it is noticed.
#[test]
fn r3_one_past_the_largest_frame_appends_nothing() {
    let page = |sealed: usize| {
        let one = MailboxEnvelope { sealed: bytes(1, sealed), ..envelope() };
        Response::MailboxPage(MailboxPage { envelopes: vec(vec![one.clone(), one]), more: false })
    };
    let overhead = page(20_000).to_raw(1).unwrap().body.len() - 40_000;
    let most = (subrosa_protocol::limits::FRAME_MAX - 7 - overhead) / 2;
    let mut out = BytesMut::new();
    page(most).write_to(1, &mut out).unwrap();
    let before = out.clone();
    for sealed in [most + 1, most + 4, most + 40] {
        assert!(page(sealed).write_to(1, &mut out).is_err());
        assert_eq!(out, before);
    }
}

/// Each single byte of each body, changed: whatever is still accepted is another value in canonical form.
#[test]
fn r9_changed_bytes_are_refused_or_canonical() {
    for sample in requests() {
        let raw = sample.to_raw(ID).unwrap();
        for at in 0..raw.body.len().min(200) {
            for bit in 0..8 {
                let mut body = raw.body.to_vec();
                body[at] ^= 1 << bit;
                let changed = RawFrame { body: body.into(), ..raw.clone() };
                if let Ok(other) = Request::from_raw(&changed) {
                    assert_ne!(other, sample);
                    assert_eq!(other.to_raw(ID).unwrap(), changed);
                }
            }
        }
        let longer = RawFrame { body: [&raw.body[..], &[0]].concat().into(), ..raw.clone() };
        assert!(Request::from_raw(&longer).is_err(), "{}: trailing byte", sample.name());
        if !raw.body.is_empty() {
            let shorter = RawFrame { body: raw.body.slice(..raw.body.len() - 1), ..raw };
            assert!(Request::from_raw(&shorter).is_err(), "{}: missing byte", sample.name());
        }
    }
}

/// The integers of the layout, as docs/PROTOCOL.md describes them.
#[test]
fn integers_take_the_shortest_form() {
    use subrosa_protocol::codec::encode;
    for (value, hex) in [
        (0u64, "00"),
        (250, "fa"),
        (251, "fbfb00"),
        (65_535, "fbffff"),
        (65_536, "fc00000100"),
        (4_294_967_295, "fcffffffff"),
        (4_294_967_296, "fd0000000001000000"),
    ] {
        assert_eq!(HEXLOWER.encode(&encode(&value).unwrap()), hex, "{value}");
    }
    assert_eq!(encode(&(Some(7u8), None::<u8>, true, "ä")).unwrap(), [1, 7, 0, 1, 2, 0xc3, 0xa4]);
}

/// The largest commit that fits its limits fits a push, and so does the largest message.
#[test]
fn the_largest_entries_fit_a_frame() {
    use subrosa_protocol::limits::*;
    let account = |n: usize| Username::new(format!("{:a<27}{n:05}", "a")).unwrap();
    let devices = || (0..ROOM_CHANGES).map(|n| RoomDevice { account: account(n), device: device(u32::MAX) });
    let largest = RoomDelta {
        added: vec(devices().collect()),
        removed: vec(devices().collect()),
        banned: vec((0..ROOM_CHANGES).map(account).collect()),
        unbanned: vec((0..ROOM_CHANGES).map(account).collect()),
        listing: ListingChange::Set(Listing {
            slug: Slug::new("a".repeat(SLUG_MAX)).unwrap(),
            name: BoundedStr::new("a".repeat(ROOM_NAME_BYTES)).unwrap(),
            description: BoundedStr::new("a".repeat(ROOM_DESCRIPTION_BYTES)).unwrap(),
        }),
        owner_key: delta().owner_key,
    };
    let far = RoomEntry {
        seq: u64::MAX,
        generation: u32::MAX,
        epoch: u64::MAX,
        accepted_at: u64::MAX,
        ..message()
    };
    for entry in [
        RoomEntry {
            kind: EntryKind::Commit,
            body: EntryBody::Inline(bytes(1, ROOM_COMMIT_INLINE)),
            delta: Some(largest),
            ..far.clone()
        },
        RoomEntry { body: EntryBody::Inline(bytes(1, ROOM_ENTRY_BYTES)), ..far },
    ] {
        let raw = Push::RoomDeliver(RoomDeliver { room: room(), entry: Box::new(entry.clone()) })
            .to_raw(0)
            .unwrap();
        raw.write_to(&mut BytesMut::new()).unwrap();
        let page = RoomPage {
            entries: vec(vec![entry]),
            more: true,
            gap: true,
            head: u64::MAX,
            generation: u32::MAX,
            epoch: u64::MAX,
        };
        Response::RoomPage(page).to_raw(u32::MAX).unwrap().write_to(&mut BytesMut::new()).unwrap();
    }
}
