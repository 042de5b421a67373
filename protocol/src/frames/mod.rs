//! What a client and a relay say to each other, by who may say it and when.
//!
//! States are types: a relay reads a connection that has not authenticated as [`PreAuthRequest`] and can therefore not
//! even name a frame that needs authentication. To add a frame: write its body in the file of its concern, and add one
//! line to one of the lists below.

mod account;
mod connection;
mod directory;
mod key_packages;
mod mailbox;
mod objects;
mod room_log;
mod rooms;

pub use account::{
    Authenticate, Authenticated, DeviceAdd, LoginChallenge, LoginFinish, LoginGranted, LoginStart, Prekeys,
    ReauthChallenge, Reauthenticate, RegisterChallenge, RegisterFinish, RegisterStart, StagePrekeys,
};
pub use connection::{ClientHello, CloseReason, Closing, ErrorFrame, RegistrationPolicy, RelayHello};
pub use directory::{
    DeviceBundle, DeviceListChanged, DeviceListFetch, DeviceListPublish, DeviceLists, KemPrekeyBytes,
    PrekeyBundles, PrekeyBytes, PrekeyClaim, PrekeyCounts, PrekeyUpload, SignedList,
};
pub use key_packages::{
    ClaimedKeyPackage, KeyPackageBytes, KeyPackageClaim, KeyPackageCounts, KeyPackageUpload, KeyPackages,
    NewKeyPackage, SuiteCount,
};
pub use mailbox::{
    EnvelopeAccepted, EnvelopeSend, MailboxAck, MailboxEnvelope, MailboxFetch, MailboxPage, OutgoingEnvelope,
    Sealed, StaleDeviceList,
};
pub use objects::{ObjectGet, ObjectHash, ObjectPiece, ObjectPut, ObjectRef};
pub use room_log::{
    EntryBody, EntryKind, EpochPassed, Listing, ListingChange, NewOwnerKey, Reboot, RebootNotice,
    RoomAccepted, RoomChange, RoomChanged, RoomCursor, RoomDeliver, RoomDelta, RoomDevice, RoomEntry,
    RoomEphemeral, RoomHint, RoomPage, RoomPost, RoomSync, canonical_accounts, canonical_devices,
};
pub use rooms::{
    AccountLists, CommitBody, Invitation, Invitations, KnownList, LeaveProposal, PublicRoom, RelayInfo,
    RoomAccept, RoomCommit, RoomCreate, RoomDirectory, RoomDirectoryPage, RoomHead, RoomHeads, RoomHeadsPage,
    RoomInfo, RoomLeave, RoomLists, RoomListsPage, RoomName, RoomRoster, RoomRosterPage, RoomShow,
    RoomUnreachable, RosterDevice, Standing,
};

use bytes::BytesMut;

use crate::{
    codec,
    frame::{self, FLAG_OPTIONAL, FrameError, RawFrame},
};

/// Nothing beyond the kind itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Empty {}

macro_rules! frames {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident($body:ty) = $kind:literal $($optional:ident)?,)+ }) => {
        $(#[$doc])*
        // Frames live between the codec and their handler only; a box for each would cost more than the copy.
        #[allow(clippy::large_enum_variant)]
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum $name { $($(#[$variant_doc])* $variant($body),)+ }

        impl $name {
            /// Every kind of this list with its name, ascending.
            pub const KINDS: &'static [(u16, &'static str)] = &[$(($kind, stringify!($variant)),)+];

            /// The frame's kind on the wire.
            #[must_use]
            pub const fn kind(&self) -> u16 {
                match self { $(Self::$variant(_) => $kind,)+ }
            }

            /// The frame's name in the documentation.
            #[must_use]
            pub const fn name(&self) -> &'static str {
                match self { $(Self::$variant(_) => stringify!($variant),)+ }
            }

            /// Encodes the body and gives it its header.
            ///
            /// # Errors
            /// [`FrameError::Body`] when the body is larger than a frame can be.
            pub fn to_raw(&self, id: u32) -> Result<RawFrame, FrameError> {
                let (flags, body) = match self {
                    $(Self::$variant(body) => (0 $(| frames!(@flag $optional))?, codec::encode(body)),)+
                };
                let body = body.map_err(|source| FrameError::Body { kind: self.kind(), source })?;
                Ok(RawFrame { kind: self.kind(), flags, id, body: body.into() })
            }

            /// Appends the frame in wire form, encoding the body in its place.
            ///
            /// # Errors
            /// [`FrameError::Body`] or [`FrameError::TooLarge`] when it is larger than a frame can be; nothing is appended
            /// then.
            pub fn write_to(&self, id: u32, out: &mut BytesMut) -> Result<(), FrameError> {
                match self {
                    $(Self::$variant(body) => {
                        let head = ($kind, 0 $(| frames!(@flag $optional))?, id);
                        frame::write(head, out, |out| codec::encode_into(body, out))
                    })+
                }
            }

            /// Understands a frame of this list.
            ///
            /// # Errors
            /// [`FrameError::UnknownKind`] for a frame of another list, [`FrameError::Body`] for a malformed body.
            pub fn from_raw(frame: &RawFrame) -> Result<Self, FrameError> {
                let body = &frame.body[..];
                match frame.kind {
                    $($kind => codec::decode(body).map(Self::$variant).map_err(|source| FrameError::Body { kind: $kind, source }),)+
                    kind => Err(FrameError::UnknownKind { kind, optional: frame.is_optional() }),
                }
            }
        }
    };
    (@flag optional) => { FLAG_OPTIONAL };
}

frames! {
    /// The first frame a client sends.
    ClientFirst {
        /// Versions and features the client speaks.
        Hello(ClientHello) = 0x0001,
    }
}

frames! {
    /// The first frame a relay sends.
    RelayFirst {
        /// The version chosen, the relay's features and its nonce.
        Hello(RelayHello) = 0x0002,
        /// No version in common, or no room; the connection ends.
        Error(ErrorFrame) = 0x8000,
    }
}

frames! {
    /// What a client may ask before its device has authenticated.
    PreAuthRequest {
        /// Proves a device's signing key. Answer: `Authenticated`.
        Authenticate(Authenticate) = 0x0010,
        /// Begins registration. Answer: `RegisterChallenge`.
        RegisterStart(RegisterStart) = 0x0011,
        /// Hands over one-time prekeys for the registration or device addition that follows. Answer: `Done`.
        StagePrekeys(StagePrekeys) = 0x0012,
        /// Ends registration: everything becomes durable in one transaction. Answer: `Done`.
        RegisterFinish(RegisterFinish) = 0x0013,
        /// Begins login with the passphrase. Answer: `LoginChallenge`.
        LoginStart(LoginStart) = 0x0014,
        /// Proves the passphrase. Answer: `LoginGranted`.
        LoginFinish(LoginFinish) = 0x0015,
        /// After a granted login: publishes a device list with this new device in it. Answer: `Done`.
        DeviceAdd(DeviceAdd) = 0x0016,
    }
}

frames! {
    /// What an authenticated device may ask.
    Request {
        /// Answers a `ReauthChallenge`. Answer: `Done`.
        Reauthenticate(Reauthenticate) = 0x0020,
        /// An account's device lists. Answer: `DeviceLists`.
        DeviceListFetch(DeviceListFetch) = 0x0021,
        /// Prekey bundles of some of an account's devices. Answer: `PrekeyBundles`.
        PrekeyClaim(PrekeyClaim) = 0x0022,
        /// New prekeys of this device. Answer: `PrekeyCounts`.
        PrekeyUpload(PrekeyUpload) = 0x0023,
        /// How many one-time prekeys of this device are left. Answer: `PrekeyCounts`.
        PrekeyStatus(Empty) = 0x0024,
        /// The next version of the own account's device list. Answer: `Done`.
        DeviceListPublish(DeviceListPublish) = 0x0025,
        /// New KeyPackages of this device. Answer: `KeyPackageCounts`.
        KeyPackageUpload(KeyPackageUpload) = 0x0026,
        /// A KeyPackage of each of some of an account's devices. Answer: `KeyPackages`.
        KeyPackageClaim(KeyPackageClaim) = 0x0027,
        /// How many KeyPackages of this device are left. Answer: `KeyPackageCounts`.
        KeyPackageStatus(Empty) = 0x0028,
        /// What the relay tells about itself. Answer: `RelayInfo`.
        RelayShow(Empty) = 0x0029,
        /// Envelopes for one device, in order, all or none. Answer: `EnvelopeAccepted` or `StaleDeviceList`.
        EnvelopeSend(EnvelopeSend) = 0x0030,
        /// Envelopes of the own mailbox. Answer: `MailboxPage`.
        MailboxFetch(MailboxFetch) = 0x0031,
        /// Envelopes up to a `seq` are stored by this device. Answer: `Done`.
        MailboxAck(MailboxAck) = 0x0032,
        /// A piece of an object that a request to come will name. Answer: `Done`.
        ObjectPut(ObjectPut) = 0x0040,
        /// A piece of an object of a room. Answer: `ObjectPiece`.
        ObjectGet(ObjectGet) = 0x0041,
        /// A new room. Answer: `Done`.
        RoomCreate(RoomCreate) = 0x0042,
        /// A commit and all that belongs to it. Answer: `RoomAccepted`, `EpochPassed` or `RoomUnreachable`.
        RoomCommit(RoomCommit) = 0x0043,
        /// A message or a proposal. Answer: `RoomAccepted` or `EpochPassed`.
        RoomPost(RoomPost) = 0x0044,
        /// Something for those who are connected, kept nowhere. Answer: `Done`.
        RoomEphemeral(RoomEphemeral) = 0x0045,
        /// An invited device has joined. Answer: `Done`.
        RoomAccept(RoomAccept) = 0x0046,
        /// Leaves a room, or declines an invitation. Answer: `RoomAccepted` with a proposal, else `Done`; or `EpochPassed`.
        RoomLeave(RoomLeave) = 0x0047,
        /// A new MLS group in the place of one that cannot go on. Answer: `RoomAccepted` or `EpochPassed`.
        RoomReboot(Reboot) = 0x0048,
        /// Entries of a room's log. Answer: `RoomPage`.
        RoomSync(RoomSync) = 0x0049,
        /// Entries up to a `seq` are stored by this device. Answer: `Done`.
        RoomCursor(RoomCursor) = 0x004a,
        /// What the relay knows of a room. Answer: `RoomInfo`.
        RoomShow(RoomShow) = 0x004b,
        /// A room's roster. Answer: `RoomRosterPage`.
        RoomRoster(RoomRoster) = 0x004c,
        /// Device lists of accounts in a room. Answer: `RoomListsPage`.
        RoomLists(RoomLists) = 0x004d,
        /// Public rooms. Answer: `RoomDirectoryPage`.
        RoomDirectory(RoomDirectory) = 0x004e,
        /// The rooms that this device is in. Answer: `RoomHeadsPage`.
        RoomHeads(RoomHeads) = 0x004f,
    }
}

frames! {
    /// What a relay answers.
    Response {
        /// The request was refused or failed.
        Error(ErrorFrame) = 0x8000,
        /// The request was carried out and is durable.
        Done(Empty) = 0x8001,
        /// The device is authenticated.
        Authenticated(Authenticated) = 0x8010,
        /// The relay's half of OPAQUE registration.
        RegisterChallenge(RegisterChallenge) = 0x8011,
        /// The relay's half of OPAQUE login.
        LoginChallenge(LoginChallenge) = 0x8014,
        /// The passphrase was right; the account's current device list.
        LoginGranted(LoginGranted) = 0x8015,
        /// Signed device lists, ascending by version.
        DeviceLists(DeviceLists) = 0x8021,
        /// Prekey bundles.
        PrekeyBundles(PrekeyBundles) = 0x8022,
        /// One-time prekeys left.
        PrekeyCounts(PrekeyCounts) = 0x8024,
        /// KeyPackages left.
        KeyPackageCounts(KeyPackageCounts) = 0x8026,
        /// KeyPackages.
        KeyPackages(KeyPackages) = 0x8027,
        /// What the relay tells about itself.
        RelayInfo(RelayInfo) = 0x8029,
        /// The envelopes are durable.
        EnvelopeAccepted(EnvelopeAccepted) = 0x8030,
        /// A part of the own mailbox.
        MailboxPage(MailboxPage) = 0x8031,
        /// Nothing was accepted: the sender's idea of the recipient's devices is old.
        StaleDeviceList(StaleDeviceList) = 0x8033,
        /// A piece of an object.
        ObjectPiece(ObjectPiece) = 0x8041,
        /// The entry is durable.
        RoomAccepted(RoomAccepted) = 0x8043,
        /// Nothing was accepted: the room is in another epoch.
        EpochPassed(EpochPassed) = 0x8044,
        /// Nothing was accepted: devices that were to be added cannot be reached.
        RoomUnreachable(RoomUnreachable) = 0x8045,
        /// A part of a room's log.
        RoomPage(RoomPage) = 0x8049,
        /// What the relay knows of a room.
        RoomInfo(RoomInfo) = 0x804b,
        /// A part of a room's roster.
        RoomRosterPage(RoomRosterPage) = 0x804c,
        /// Device lists of accounts in a room.
        RoomListsPage(RoomListsPage) = 0x804d,
        /// A part of the directory of public rooms.
        RoomDirectoryPage(RoomDirectoryPage) = 0x804e,
        /// Some of the rooms of this device.
        RoomHeadsPage(RoomHeadsPage) = 0x804f,
    }
}

frames! {
    /// What a relay says unasked. Pushes are hints: all of it can be learnt by asking.
    Push {
        /// A new envelope of the own mailbox.
        Deliver(MailboxEnvelope) = 0x4010 optional,
        /// Pushes were left out; fetch.
        SyncHint(Empty) = 0x4011 optional,
        /// One-time prekeys are running out.
        PrekeysLow(PrekeyCounts) = 0x4012 optional,
        /// Prove the device's key again before the deadline.
        ReauthChallenge(ReauthChallenge) = 0x4013,
        /// The own account has a new device list.
        DeviceListChanged(DeviceListChanged) = 0x4014 optional,
        /// The relay ends this connection, and why.
        Closing(Closing) = 0x4015 optional,
        /// KeyPackages are running out, or the last resort was handed out.
        KeyPackagesLow(KeyPackageCounts) = 0x4016 optional,
        /// A new entry of a room.
        RoomDeliver(RoomDeliver) = 0x4020 optional,
        /// Entries of a room were not pushed; sync.
        RoomHint(RoomHint) = 0x4021 optional,
        /// Something of a room that is kept nowhere.
        RoomSignal(RoomEphemeral) = 0x4022 optional,
        /// A room changed without an entry.
        RoomChanged(RoomChanged) = 0x4023 optional,
    }
}

impl Push {
    /// Appends the [`Push::Deliver`] of an envelope that stays where it is.
    ///
    /// # Errors
    /// Those of [`Push::write_to`].
    pub fn write_deliver(envelope: &MailboxEnvelope, out: &mut BytesMut) -> Result<(), FrameError> {
        let MailboxEnvelope { seq, id, accepted_at, sealed } = envelope;
        frame::write((0x4010, FLAG_OPTIONAL, 0), out, |out| {
            codec::encode_into(seq, out)?;
            // A value's encoding is that of its fields in turn; an id's is its bytes, here at once and not one by one.
            out.extend_from_slice(id.as_bytes());
            codec::encode_into(&(accepted_at, sealed), out)
        })
    }
}

/// What a client reads once hellos are exchanged: an answer (its `id` names the request) or a push.
// Like the lists above: it lives from the codec to its handler.
#[allow(clippy::large_enum_variant)]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FromRelay {
    /// The answer to the request with this id.
    Response(u32, Response),
    /// Something said unasked.
    Push(Push),
    /// An unknown frame that is marked as skippable.
    Skipped(u16),
}

impl FromRelay {
    /// Understands a frame that came from a relay.
    ///
    /// # Errors
    /// [`FrameError`] for a malformed body or an unknown frame that must not be skipped.
    pub fn from_raw(frame: &RawFrame) -> Result<Self, FrameError> {
        match Response::from_raw(frame) {
            Ok(response) => return Ok(Self::Response(frame.id, response)),
            Err(FrameError::UnknownKind { .. }) => {}
            Err(error) => return Err(error),
        }
        match Push::from_raw(frame) {
            Ok(push) => Ok(Self::Push(push)),
            Err(FrameError::UnknownKind { kind, optional: true }) => Ok(Self::Skipped(kind)),
            Err(error) => Err(error),
        }
    }
}
