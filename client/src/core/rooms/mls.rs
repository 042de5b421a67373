//! The group of a room, from the store or from memory; what device lists say of its members; and what its refusals mean.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
};

use subrosa_crypto::verify::room::{Delta, Face, NewOwnerKey, RoomDevice};
use subrosa_protocol::{
    BoundedStr, BoundedVec, DeviceId, RoomId, Username,
    frames::{Listing, ListingChange, NewOwnerKey as WireOwnerKey, RoomDelta, RoomDevice as WireDevice},
};
use subrosa_rooms::{Directory, Listed, Me as RoomMe, Room, RoomError, StorageError};

use super::super::{Fault, me::Me, work::Work};
use crate::{
    api::{ApiError, Kind},
    store::{StoreError, Tx},
};

/// Groups that were read before. Each looks by itself whether the store still holds what it was made from.
#[derive(Default)]
pub(in crate::core) struct Loaded(RefCell<BTreeMap<RoomId, Room>>);

/// Groups kept in memory.
const LOADED: usize = 64;

impl Loaded {
    fn take(&self, id: RoomId) -> Option<Room> {
        self.0.borrow_mut().remove(&id)
    }

    /// Keeps a group for the next time.
    pub(in crate::core) fn keep(&self, room: Room) {
        let mut loaded = self.0.borrow_mut();
        if loaded.len() >= LOADED {
            loaded.clear();
        }
        loaded.insert(RoomId::from_bytes(room.id()), room);
    }

    /// Forgets all: the store is another than it was.
    pub(in crate::core) fn clear(&self) {
        self.0.borrow_mut().clear();
    }
}

impl<'w> Work<'w> {
    /// The group of a room, if this device has one. It is to be given back with [`Loaded::keep`].
    pub(in crate::core) fn group(&self, id: RoomId) -> Result<Option<Room>, Fault> {
        match self.loaded.take(id) {
            Some(room) => Ok(Some(room)),
            None => Room::load(self.tx, *id.as_bytes()).map_err(fault),
        }
    }

    /// The same, where there must be one.
    pub(in crate::core) fn group_of(&self, id: RoomId) -> Result<Room, Fault> {
        self.group(id)?.ok_or_else(|| {
            ApiError::new(Kind::Refused, "an owner renews this room just now").hint("try again").into()
        })
    }

    /// This device as a leaf.
    pub(in crate::core) fn leaf(&self) -> Result<RoomMe<'w>, Fault> {
        let me: &'w Me = self.me;
        Ok(RoomMe {
            account: me.account.as_str(),
            account_key: me.account_key,
            device: me.device.get(),
            secrets: me.secrets()?,
        })
    }
}

/// The device lists, as far as they are known. A device that is missing in one is not known yet, unless the list was asked
/// for since: `fresh` names those accounts; or it is one of this account's that was in a list before.
pub(in crate::core) const fn lists<'l>(
    tx: &'l Tx<'l>,
    me: &'l Me,
    fresh: &'l BTreeSet<Username>,
) -> Lists<'l> {
    Lists { tx, me, fresh }
}

/// What the device lists say.
#[derive(Clone, Copy)]
pub(in crate::core) struct Lists<'l> {
    tx: &'l Tx<'l>,
    me: &'l Me,
    fresh: &'l BTreeSet<Username>,
}

impl Directory for Lists<'_> {
    fn look(&self, device: &RoomDevice) -> Listed {
        let Ok(account) = Username::new(device.account.clone()) else { return Listed::Absent };
        let trusted = if account == self.me.account {
            Some(self.me.account_key)
        } else {
            self.tx.peer(&account).ok().flatten().and_then(|peer| peer.account_key)
        };
        let known = self.tx.device_list(&account).ok().flatten();
        let Some(known) = known.filter(|known| Some(known.list.account_key) == trusted) else {
            return Listed::Unknown;
        };
        if let Some(entry) = known.list.device(device.device) {
            return Listed::Listed { signing_key: entry.signing_key, account_key: known.list.account_key };
        }
        match self.tx.former_device(&account, device.device).ok().flatten() {
            Some(signing_key) => Listed::Former { signing_key },
            None if self.fresh.contains(&account) => Listed::Absent,
            // Of the own account this device knows what went; one that came since is in a list that is on its way.
            None if account == self.me.account && device.device < known.list.next_device_id => Listed::Absent,
            None => Listed::Unknown,
        }
    }

    fn is_newest(&self, account: &str) -> bool {
        self.fresh.iter().any(|fresh| fresh.as_str() == account)
    }
}

/// A failed operation as a fault. What the others would refuse is a refusal for whoever asked.
pub(in crate::core) fn fault(error: RoomError) -> Fault {
    match error {
        RoomError::Refused(refusal) => refused(&refusal).into(),
        RoomError::NotMember | RoomError::NoRoom => not_in(),
        RoomError::Leaving | RoomError::Pending | RoomError::Member => {
            ApiError::new(Kind::Refused, "the room is changing just now").hint("try again").into()
        }
        RoomError::NeedLists(_) => Fault::Internal("device lists"),
        RoomError::Exists | RoomError::NoPending => Fault::Internal("the state of a room"),
        RoomError::Mls(what) => {
            tracing::warn!(what, "a room's cryptography failed");
            Fault::Internal("the cryptography of a room")
        }
        RoomError::Storage(StorageError::Store(failure)) => StoreError::from(failure).into(),
        RoomError::Storage(error) => {
            tracing::error!(%error, "the state of a room");
            StoreError::Corrupt("state of a room").into()
        }
    }
}

pub(in crate::core) fn not_in() -> Fault {
    ApiError::new(Kind::Refused, "you are not in this room").hint("join it first").into()
}

/// Why something is not possible, for people.
pub(in crate::core) fn refused(refusal: &subrosa_rooms::Refusal) -> ApiError {
    use subrosa_rooms::{Refusal, policy::PolicyError};
    match refusal {
        Refusal::NoRight(act) => ApiError::new(Kind::Refused, format!("you have no right to {act}"))
            .hint("ask an owner or moderator of the room"),
        Refusal::Muted => {
            ApiError::new(Kind::Refused, "you are muted in this room").hint("ask a moderator of the room")
        }
        Refusal::Full => ApiError::new(Kind::Refused, "the room is full"),
        Refusal::External => ApiError::new(Kind::Refused, "this room cannot be joined from outside")
            .hint("ask a member for an invitation"),
        Refusal::NotMember => ApiError::new(Kind::NotFound, "no such member").hint("rosa room members ROOM"),
        Refusal::Policy(PolicyError::NoOwner) => {
            ApiError::new(Kind::Refused, "the room would be left without an owner: its roles are others now")
                .hint("look who owns it, and ask them: rosa room members ROOM")
        }
        other => ApiError::new(Kind::Refused, format!("not possible in this room: {other}")),
    }
}

/// The accounts of a set of names.
pub(in crate::core) fn accounts(names: BTreeSet<String>) -> BTreeSet<Username> {
    names.into_iter().filter_map(|name| Username::new(name).ok()).collect()
}

/// A device as frames name it.
pub(in crate::core) fn wire_device(device: &RoomDevice) -> Option<WireDevice> {
    Some(WireDevice {
        account: Username::new(device.account.clone()).ok()?,
        device: DeviceId::new(device.device).ok()?,
    })
}

/// A delta as frames hold it.
pub(in crate::core) fn to_wire(delta: &Delta) -> Result<RoomDelta, Fault> {
    let wrong = || Fault::Internal("delta");
    let devices = |list: &BTreeSet<RoomDevice>| {
        let list = list.iter().map(wire_device).collect::<Option<Vec<_>>>().ok_or_else(wrong)?;
        BoundedVec::new(list).map_err(|_| too_much_at_once())
    };
    let accounts = |list: &BTreeSet<String>| {
        let list = list.iter().map(|name| Username::new(name.clone()).ok()).collect::<Option<Vec<_>>>();
        BoundedVec::new(list.ok_or_else(wrong)?).map_err(|_| too_much_at_once())
    };
    let listing = match &delta.face {
        None => ListingChange::Keep,
        Some(face) => ListingChange::Set(Listing {
            slug: face.slug.parse().map_err(|_| wrong())?,
            name: BoundedStr::new(face.name.as_str()).map_err(|_| wrong())?,
            description: BoundedStr::new(face.description.as_str()).map_err(|_| wrong())?,
        }),
    };
    let owner_key = delta.owner_key.as_ref().map(|new| WireOwnerKey {
        key: serde_bytes::ByteArray::new(new.key),
        signature: serde_bytes::ByteArray::new(new.signature.0),
    });
    Ok(RoomDelta {
        added: devices(&delta.added)?,
        removed: devices(&delta.removed)?,
        banned: accounts(&delta.banned)?,
        unbanned: accounts(&delta.unbanned)?,
        listing,
        owner_key,
    })
}

fn too_much_at_once() -> Fault {
    ApiError::new(Kind::Refused, "too many devices or accounts in one change of a room").into()
}

/// A delta as it came. One that no member makes becomes one that fits no commit.
pub(in crate::core) fn from_wire(delta: &RoomDelta) -> Delta {
    let devices = |list: &[WireDevice]| {
        list.iter().map(|device| RoomDevice::new(device.account.as_str(), device.device.get())).collect()
    };
    let accounts = |list: &[Username]| list.iter().map(ToString::to_string).collect();
    let face = match &delta.listing {
        ListingChange::Keep => None,
        ListingChange::Set(listing) => Some(Face {
            slug: listing.slug.to_string(),
            name: listing.name.to_string(),
            description: listing.description.to_string(),
        }),
        ListingChange::Remove => {
            Some(Face { slug: String::new(), name: String::new(), description: String::new() })
        }
    };
    let owner_key = delta.owner_key.as_ref().map(|new| NewOwnerKey {
        key: new.key.into_array(),
        signature: subrosa_crypto::verify::keys::Signature(new.signature.into_array()),
    });
    Delta {
        added: devices(&delta.added),
        removed: devices(&delta.removed),
        banned: accounts(&delta.banned),
        unbanned: accounts(&delta.unbanned),
        face,
        owner_key,
    }
}
