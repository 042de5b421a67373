//! What a relay and the members of a room both compute: the id of a room's MLS group, the delta that a commit shows to
//! the relay, and the signatures of the room's owner key.
//!
//! A commit is encrypted, so the relay is told beside it what changes in what it must know (roster, bans, the public
//! face): the delta. Its hash is the commit's MLS *authenticated data*, so members see when the relay was told, or
//! tells them, something else.
//!
//! ```text
//! group id: room 16 | generation u32
//! delta:    0x01 | room 16 | generation u32 | epoch u64
//!           | added   u16 n, n * device | removed u16 n, n * device
//!           | banned  u16 n, n * account str8 | unbanned u16 n, n * account str8
//!           | face    0x00, or 0x01 | slug str8 | name str16 | description str16
//!           | owner   0x00, or 0x01 | new key 32 | signature 64
//! device:   account str8 | device u32
//! ```
//!
//! Lists are sorted by bytes, without repetitions.

use std::collections::BTreeSet;

use sha2::{Digest, Sha256};

use crate::canonical::{Malformed, Reader, account_fits, put_str8};
use crate::keys::{BadSignature, Signature, VerifyingKey};
use crate::labels;

/// The length of [`group_id`].
pub const GROUP_ID_BYTES: usize = 20;
/// The most devices that one delta adds, and the most it removes: all of a room's, at a reboot.
pub const DELTA_DEVICES_MAX: usize = 1_000;
/// The most accounts that one delta bans, and the most it unbans.
pub const DELTA_ACCOUNTS_MAX: usize = 100;
/// The longest name of a room in bytes.
pub const NAME_MAX: usize = 256;
/// The longest description, and the longest topic, of a room in bytes.
pub const TEXT_MAX: usize = 512;

const FORMAT: u8 = 0x01;

/// A device of an account: what a leaf of a room's group is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RoomDevice {
    /// The username, 3 to 32 bytes.
    pub account: String,
    /// The device id, 1 and up.
    pub device: u32,
}

/// What the relay's directory shows of a public room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Face {
    /// The slug, 2 to 32 bytes of ASCII.
    pub slug: String,
    /// The name, at most [`NAME_MAX`] bytes.
    pub name: String,
    /// The description, at most [`TEXT_MAX`] bytes.
    pub description: String,
}

/// The room's next owner key, signed with the one before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewOwnerKey {
    /// The new key (Ed25519).
    pub key: [u8; 32],
    /// The old key's signature over [`owner_key_bytes`].
    pub signature: Signature,
}

/// What a commit changes in what the relay must know.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Delta {
    /// Devices that the commit adds.
    pub added: BTreeSet<RoomDevice>,
    /// Devices that it removes. A device that is removed and added again stands in both.
    pub removed: BTreeSet<RoomDevice>,
    /// Accounts banned from now on.
    pub banned: BTreeSet<String>,
    /// Accounts not banned any more.
    pub unbanned: BTreeSet<String>,
    /// The new face of a public room.
    pub face: Option<Face>,
    /// A new owner key.
    pub owner_key: Option<NewOwnerKey>,
}

impl RoomDevice {
    /// The device `device` of `account`.
    pub fn new(account: impl Into<String>, device: u32) -> Self {
        Self { account: account.into(), device }
    }

    /// Appends the canonical bytes.
    pub fn put(&self, out: &mut Vec<u8>) {
        put_str8(out, &self.account);
        out.extend_from_slice(&self.device.to_le_bytes());
    }

    /// Reads what [`RoomDevice::put`] wrote.
    pub fn read(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        let (account, device) = (r.account()?.to_owned(), r.u32()?);
        if device == 0 { Err(Malformed::Field("device")) } else { Ok(Self { account, device }) }
    }

    /// Whether the account's name and the device's id are ones.
    pub fn is_valid(&self) -> bool {
        account_fits(&self.account) && self.device != 0
    }
}

/// The MLS group id of a room: each reboot (a new `generation`) is a new group. The first generation is 0.
pub fn group_id(room: &[u8; 16], generation: u32) -> [u8; GROUP_ID_BYTES] {
    let mut out = [0; GROUP_ID_BYTES];
    for (place, byte) in out.iter_mut().zip(room.iter().chain(&generation.to_le_bytes())) {
        *place = *byte;
    }
    out
}

/// Room and generation of a group id.
pub fn read_group_id(id: &[u8]) -> Result<([u8; 16], u32), Malformed> {
    let mut r = Reader::new(id);
    let read = (r.array()?, r.u32()?);
    r.finish()?;
    Ok(read)
}

impl Delta {
    /// Whether the commit changes nothing that the relay must know.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether every list and text is within its bounds.
    pub fn is_valid(&self) -> bool {
        let devices = |list: &BTreeSet<RoomDevice>| {
            list.len() <= DELTA_DEVICES_MAX && list.iter().all(RoomDevice::is_valid)
        };
        let accounts = |list: &BTreeSet<String>| {
            list.len() <= DELTA_ACCOUNTS_MAX && list.iter().all(|name| account_fits(name))
        };
        let face = self.face.as_ref().is_none_or(|face| {
            face.slug.len() <= 32 && face.name.len() <= NAME_MAX && face.description.len() <= TEXT_MAX
        });
        devices(&self.added)
            && devices(&self.removed)
            && accounts(&self.banned)
            && accounts(&self.unbanned)
            && face
    }

    /// The canonical bytes of this delta for a commit made in `epoch` of `generation`.
    pub fn to_bytes(&self, room: &[u8; 16], generation: u32, epoch: u64) -> Vec<u8> {
        let mut out = vec![FORMAT];
        out.extend_from_slice(room);
        out.extend_from_slice(&generation.to_le_bytes());
        out.extend_from_slice(&epoch.to_le_bytes());
        for list in [&self.added, &self.removed] {
            put_count(&mut out, list.len());
            list.iter().for_each(|device| device.put(&mut out));
        }
        for list in [&self.banned, &self.unbanned] {
            put_count(&mut out, list.len());
            list.iter().for_each(|account| put_str8(&mut out, account));
        }
        match &self.face {
            None => out.push(0),
            Some(face) => {
                out.push(1);
                put_str8(&mut out, &face.slug);
                put_str16(&mut out, &face.name);
                put_str16(&mut out, &face.description);
            }
        }
        match &self.owner_key {
            None => out.push(0),
            Some(new) => {
                out.push(1);
                out.extend_from_slice(&new.key);
                out.extend_from_slice(&new.signature.0);
            }
        }
        out
    }

    /// The authenticated data of the commit that this delta goes with: `SHA-256(label || 0x00 || bytes)`.
    pub fn hash(&self, room: &[u8; 16], generation: u32, epoch: u64) -> [u8; 32] {
        let bytes = self.to_bytes(room, generation, epoch);
        Sha256::new()
            .chain_update(labels::HASH_ROOM_DELTA.as_bytes())
            .chain_update([0])
            .chain_update(bytes)
            .finalize()
            .into()
    }
}

/// What the owner key signs to hand over to `new` (label `SIGN_ROOM_OWNER_KEY`): `room 16 | generation u32 | epoch u64 |
/// new key 32`, with the epoch that the commit is made in.
pub fn owner_key_bytes(room: &[u8; 16], generation: u32, epoch: u64, new: &[u8; 32]) -> Vec<u8> {
    [&room[..], &generation.to_le_bytes(), &epoch.to_le_bytes(), new].concat()
}

/// Checks that the owner key `old` handed over to `new`.
pub fn verify_owner_key(
    old: &[u8; 32],
    room: &[u8; 16],
    generation: u32,
    epoch: u64,
    new: &NewOwnerKey,
) -> Result<(), BadSignature> {
    let bytes = owner_key_bytes(room, generation, epoch, &new.key);
    VerifyingKey(*old).verify(labels::SIGN_ROOM_OWNER_KEY, &bytes, &new.signature)
}

/// A room's new generation, as its owner key signs it (label `SIGN_ROOM_REBOOT`).
///
/// ```text
/// room 16 | old generation u32 | new generation u32 | epoch u64 | state 32
///   | welcome 0x00, or 0x01 and 32 | group info 0x00, or 0x01 and 32
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reboot {
    /// The room.
    pub room: [u8; 16],
    /// The generation that ends.
    pub from: u32,
    /// The one that begins: the next.
    pub to: u32,
    /// The new group's epoch.
    pub epoch: u64,
    /// What the relay keeps of the room from then on: [`reboot_state`].
    pub state: [u8; 32],
    /// SHA-256 of the welcome; none when the rebooting device is alone.
    pub welcome: Option<[u8; 32]>,
    /// SHA-256 of the group info of a public room.
    pub group_info: Option<[u8; 32]>,
}

/// SHA-256 of what the relay is told with a reboot: `roster u16 n, n * device | banned u16 n, n * account str8 | 0x00`. The
/// roster is all devices of the new group, the rebooting one among them; the zero says that the room's face stays.
pub fn reboot_state(roster: &BTreeSet<RoomDevice>, banned: &BTreeSet<String>) -> [u8; 32] {
    let mut out = Vec::new();
    put_count(&mut out, roster.len());
    roster.iter().for_each(|device| device.put(&mut out));
    put_count(&mut out, banned.len());
    banned.iter().for_each(|account| put_str8(&mut out, account));
    out.push(0);
    Sha256::digest(&out).into()
}

impl Reboot {
    /// What is signed.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = self.room.to_vec();
        out.extend_from_slice(&self.from.to_le_bytes());
        out.extend_from_slice(&self.to.to_le_bytes());
        out.extend_from_slice(&self.epoch.to_le_bytes());
        out.extend_from_slice(&self.state);
        for hash in [&self.welcome, &self.group_info] {
            out.push(u8::from(hash.is_some()));
            out.extend(hash.iter().flatten());
        }
        out
    }

    /// Checks the owner key's signature, and that the generation is the next one.
    pub fn verify(&self, owner_key: &[u8; 32], signature: &Signature) -> Result<(), BadSignature> {
        if self.from.checked_add(1) != Some(self.to) {
            return Err(BadSignature);
        }
        VerifyingKey(*owner_key).verify(labels::SIGN_ROOM_REBOOT, &self.to_bytes(), signature)
    }
}

fn put_count(out: &mut Vec<u8>, n: usize) {
    out.extend_from_slice(&u16::try_from(n).unwrap_or(u16::MAX).to_le_bytes());
}

/// Appends `text` with a length of two bytes. What is longer than 65,535 bytes is cut there: callers check the bounds.
pub fn put_str16(out: &mut Vec<u8>, text: &str) {
    let len = u16::try_from(text.len()).unwrap_or(u16::MAX);
    out.extend_from_slice(&len.to_le_bytes());
    out.extend(text.bytes().take(usize::from(len)));
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;
    use ed25519_dalek::{Signer, SigningKey};

    use super::*;
    use crate::keys::signed_bytes;

    const ROOM: [u8; 16] = [0x77; 16];

    fn full() -> Delta {
        Delta {
            added: [RoomDevice::new("bob", 2), RoomDevice::new("alice", 1)].into(),
            removed: [RoomDevice::new("carol", 3)].into(),
            banned: ["carol".to_owned()].into(),
            unbanned: BTreeSet::new(),
            face: Some(Face { slug: "lobby".into(), name: "Lobby".into(), description: "All".into() }),
            owner_key: Some(NewOwnerKey { key: [1; 32], signature: Signature([2; 64]) }),
        }
    }

    #[test]
    fn golden_bytes_of_a_delta() {
        let expected = [
            "01",
            &"77".repeat(16),
            "01000000",
            "0500000000000000",
            "0200",
            "05616c69636501000000",
            "03626f6202000000",
            "0100",
            "056361726f6c03000000",
            "0100",
            "056361726f6c",
            "0000",
            "01056c6f6262790500",
            "4c6f626279",
            "0300416c6c",
            "01",
            &"01".repeat(32),
            &"02".repeat(64),
        ];
        assert_eq!(HEXLOWER.encode(&full().to_bytes(&ROOM, 1, 5)), expected.concat());
        assert_eq!(
            HEXLOWER.encode(&Delta::default().to_bytes(&ROOM, 0, 0)),
            ["01", &"77".repeat(16), "000000000000000000000000", "0000000000000000", "0000"].concat()
        );
    }

    #[test]
    fn every_part_of_a_delta_and_its_place_changes_the_hash() {
        let hash = full().hash(&ROOM, 1, 5);
        let mut seen = vec![hash];
        let parts: [fn(&mut Delta); 6] = [
            |d| d.added.clear(),
            |d| d.removed.clear(),
            |d| d.banned.clear(),
            |d| d.unbanned = ["dave".to_owned()].into(),
            |d| d.face = None,
            |d| d.owner_key = None,
        ];
        for part in parts {
            let mut delta = full();
            part(&mut delta);
            seen.push(delta.hash(&ROOM, 1, 5));
        }
        seen.extend([full().hash(&[0x78; 16], 1, 5), full().hash(&ROOM, 2, 5), full().hash(&ROOM, 1, 6)]);
        let different: BTreeSet<_> = seen.iter().collect();
        assert_eq!(different.len(), seen.len());
    }

    #[test]
    fn bounds_of_a_delta() {
        assert!(full().is_valid() && !full().is_empty() && Delta::default().is_empty());
        let mut long = full();
        if let Some(face) = &mut long.face {
            face.description = "x".repeat(TEXT_MAX + 1);
        }
        assert!(!long.is_valid());
        let mut many = full();
        many.banned = (0..=DELTA_ACCOUNTS_MAX).map(|n| format!("user{n}")).collect();
        assert!(!many.is_valid());
    }

    #[test]
    fn group_ids_are_read_back_and_nothing_else_is() {
        assert_eq!(read_group_id(&group_id(&ROOM, 7)), Ok((ROOM, 7)));
        assert!(read_group_id(&[0; 19]).is_err() && read_group_id(&[0; 21]).is_err());
    }

    #[test]
    fn r31_owner_key_signatures_count_for_their_place_only() {
        let old = SigningKey::from_bytes(&[5; 32]);
        let public = old.verifying_key().to_bytes();
        let sign = |label, bytes: &[u8]| Signature(old.sign(&signed_bytes(label, bytes)).to_bytes());
        let bytes = owner_key_bytes(&ROOM, 1, 5, &[9; 32]);
        let new = NewOwnerKey { key: [9; 32], signature: sign(labels::SIGN_ROOM_OWNER_KEY, &bytes) };
        assert_eq!(verify_owner_key(&public, &ROOM, 1, 5, &new), Ok(()));
        assert!(verify_owner_key(&public, &ROOM, 1, 6, &new).is_err());
        let banned = BTreeSet::from(["carol".to_owned()]);
        let reboot = Reboot {
            room: ROOM,
            from: 1,
            to: 2,
            epoch: 1,
            state: reboot_state(&full().added, &banned),
            welcome: Some([6; 32]),
            group_info: None,
        };
        let expected = [
            &ROOM[..],
            &[1, 0, 0, 0, 2, 0, 0, 0],
            &[1, 0, 0, 0, 0, 0, 0, 0],
            &Sha256::digest(b"\x02\0\x05alice\x01\0\0\0\x03bob\x02\0\0\0\x01\0\x05carol\0"),
            &[1],
            &[6; 32],
            &[0],
        ];
        assert_eq!(reboot.to_bytes(), expected.concat());
        let signature = sign(labels::SIGN_ROOM_REBOOT, &reboot.to_bytes());
        assert_eq!(reboot.verify(&public, &signature), Ok(()));
        let alone = reboot_state(&[RoomDevice::new("alice", 1)].into(), &banned);
        for other in [
            Reboot { state: alone, ..reboot },
            Reboot { welcome: None, group_info: reboot.welcome, ..reboot },
            Reboot { group_info: Some([7; 32]), ..reboot },
        ] {
            assert!(other.verify(&public, &signature).is_err());
        }
        for to in [0, 1, 3] {
            let leap = Reboot { to, ..reboot };
            assert!(leap.verify(&public, &sign(labels::SIGN_ROOM_REBOOT, &leap.to_bytes())).is_err());
        }
    }
}
