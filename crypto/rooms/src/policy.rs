//! A room's policy: what stands in the group context, so that MLS authenticates it and only commits change it.
//!
//! ```text
//! 0x01 | room 16 | generation u32 | visibility u8 (0 private, 1 public) | name str16 | topic str16
//! | owners     u16 n, n * account str8 | moderators u16 n, n * account str8
//! | invite u8 (0 members, 1 moderators, 2 owners) | timer u32 in seconds, 0: none
//! | banned     u16 n, n * account str8 | muted      u16 n, n * account str8
//! | owner key 32
//! ```
//!
//! Lists are sorted by bytes, without repetitions. The extension's type is 0xF0A1, of the range for private use.

use std::collections::BTreeSet;

use subrosa_verify::canonical::{Malformed, Reader, account_fits, put_str8};
use subrosa_verify::keys::VerifyingKey;
use subrosa_verify::room::{NAME_MAX, TEXT_MAX, put_str16};

use crate::limits::{BANNED_MAX, MODERATORS_MAX, MUTED_MAX, OWNERS_MAX};

/// The type of the group-context extension that holds the policy.
pub const POLICY_EXTENSION: u16 = 0xF0A1;

const FORMAT: u8 = 0x01;

/// Whether the relay knows a room's name and lets strangers join.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Visibility {
    /// Joined by invitation; to the relay an opaque id.
    Private,
    /// In the relay's directory; joined by anybody who is not banned.
    Public,
}

/// What an account may do in a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Posts.
    Member,
    /// Removes, bans, mutes, sets the topic.
    Moderator,
    /// Everything else too.
    Owner,
}

/// Who may add accounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InviteRule {
    /// Every member.
    Members,
    /// Moderators and owners.
    Moderators,
    /// Owners.
    Owners,
}

/// The policy of a room in one epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// The room; never changes.
    pub room: [u8; 16],
    /// Which group of the room this is; never changes within one.
    pub generation: u32,
    /// Never changes.
    pub visibility: Visibility,
    /// At most 256 bytes. The caller sees to it that names are safe to show, here and when they come in.
    pub name: String,
    /// At most 512 bytes.
    pub topic: String,
    /// At least one.
    pub owners: BTreeSet<String>,
    /// None of them an owner.
    pub moderators: BTreeSet<String>,
    /// Who may add accounts.
    pub invite: InviteRule,
    /// After how many seconds messages disappear.
    pub timer: Option<u32>,
    /// Accounts that may not be members.
    pub banned: BTreeSet<String>,
    /// Accounts whose messages are not shown.
    pub muted: BTreeSet<String>,
    /// The key (Ed25519) that may reboot the room (R31).
    pub owner_key: [u8; 32],
}

/// Why a policy is not one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// The bytes are not the canonical form of any.
    #[error("not a canonical room policy: {0}")]
    Malformed(#[from] Malformed),
    /// A name, text or list exceeds its bound; the word says which.
    #[error("the room's {0} exceeds its limit")]
    TooLong(&'static str),
    /// Nobody owns the room.
    #[error("a room needs an owner")]
    NoOwner,
    /// One account in two lists that exclude each other: owner and moderator, or banned and with a role.
    #[error("an account has two roles that exclude each other")]
    TwoRoles,
    /// The owner key is no key.
    #[error("the owner key is not a key")]
    OwnerKey,
}

impl Policy {
    /// The policy of a new room that `owner` makes.
    #[must_use]
    pub fn new(room: [u8; 16], visibility: Visibility, name: &str, owner: &str, owner_key: [u8; 32]) -> Self {
        Self {
            room,
            generation: 0,
            visibility,
            name: name.to_owned(),
            topic: String::new(),
            owners: [owner.to_owned()].into(),
            moderators: BTreeSet::new(),
            invite: match visibility {
                Visibility::Private => InviteRule::Moderators,
                Visibility::Public => InviteRule::Members,
            },
            timer: None,
            banned: BTreeSet::new(),
            muted: BTreeSet::new(),
            owner_key,
        }
    }

    /// The role of an account.
    #[must_use]
    pub fn role(&self, account: &str) -> Role {
        if self.owners.contains(account) {
            Role::Owner
        } else if self.moderators.contains(account) {
            Role::Moderator
        } else {
            Role::Member
        }
    }

    /// Whether `account` may add others.
    #[must_use]
    pub fn may_invite(&self, account: &str) -> bool {
        self.role(account)
            >= match self.invite {
                InviteRule::Members => Role::Member,
                InviteRule::Moderators => Role::Moderator,
                InviteRule::Owners => Role::Owner,
            }
    }

    /// Whether `account` may remove, ban or mute `target`: from moderator up, and only those below oneself.
    #[must_use]
    pub fn may_moderate(&self, account: &str, target: &str) -> bool {
        let role = self.role(account);
        role >= Role::Moderator && self.role(target) < role
    }

    /// Gives `account` a role, in place of what it had.
    pub fn set_role(&mut self, account: &str, role: Role) {
        self.owners.remove(account);
        self.moderators.remove(account);
        match role {
            Role::Owner => drop(self.owners.insert(account.to_owned())),
            Role::Moderator => drop(self.moderators.insert(account.to_owned())),
            Role::Member => {}
        }
    }

    /// Bans `account`: it loses its role and its mute, too.
    pub fn ban(&mut self, account: &str) {
        self.set_role(account, Role::Member);
        self.muted.remove(account);
        self.banned.insert(account.to_owned());
    }

    /// Takes the roles of accounts that have no device in the room any more. When nobody would own the room then, its owners
    /// stay what they are: a room without an owner is none.
    pub fn drop_roles<'a>(&mut self, gone: impl IntoIterator<Item = &'a str>) {
        let gone: BTreeSet<&str> = gone.into_iter().collect();
        let is_gone = |account: &String| gone.contains(account.as_str());
        self.moderators.retain(|account| !is_gone(account));
        if !self.owners.iter().all(is_gone) {
            self.owners.retain(|account| !is_gone(account));
        }
    }

    /// Checks every bound and that the lists fit together.
    ///
    /// # Errors
    /// The first [`PolicyError`] that applies.
    pub fn check(&self) -> Result<(), PolicyError> {
        let bounds = [
            (self.name.len(), NAME_MAX, "name"),
            (self.topic.len(), TEXT_MAX, "topic"),
            (self.owners.len(), OWNERS_MAX, "list of owners"),
            (self.moderators.len(), MODERATORS_MAX, "list of moderators"),
            (self.banned.len(), BANNED_MAX, "list of banned accounts"),
            (self.muted.len(), MUTED_MAX, "list of muted accounts"),
        ];
        if let Some((.., what)) = bounds.into_iter().find(|(len, most, _)| len > most) {
            return Err(PolicyError::TooLong(what));
        }
        if self.lists().into_iter().flatten().any(|account| !account_fits(account)) {
            return Err(Malformed::Account.into());
        }
        if self.timer == Some(0) {
            return Err(Malformed::Field("timer").into());
        }
        if self.owners.is_empty() {
            return Err(PolicyError::NoOwner);
        }
        let both = |one: &BTreeSet<String>, other: &BTreeSet<String>| !one.is_disjoint(other);
        if both(&self.owners, &self.moderators)
            || both(&self.owners, &self.banned)
            || both(&self.moderators, &self.banned)
            || both(&self.owners, &self.muted)
        {
            return Err(PolicyError::TwoRoles);
        }
        if VerifyingKey(self.owner_key).is_usable() { Ok(()) } else { Err(PolicyError::OwnerKey) }
    }

    /// The canonical bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = vec![FORMAT];
        out.extend_from_slice(&self.room);
        out.extend_from_slice(&self.generation.to_le_bytes());
        out.push(u8::from(self.visibility == Visibility::Public));
        put_str16(&mut out, &self.name);
        put_str16(&mut out, &self.topic);
        let [owners, moderators, banned, muted] = self.lists();
        put_accounts(&mut out, owners);
        put_accounts(&mut out, moderators);
        out.push(match self.invite {
            InviteRule::Members => 0,
            InviteRule::Moderators => 1,
            InviteRule::Owners => 2,
        });
        out.extend_from_slice(&self.timer.unwrap_or(0).to_le_bytes());
        put_accounts(&mut out, banned);
        put_accounts(&mut out, muted);
        out.extend_from_slice(&self.owner_key);
        out
    }

    /// Reads and checks canonical bytes.
    ///
    /// # Errors
    /// [`PolicyError`]; nothing that [`Policy::to_bytes`] makes of a checked policy is refused.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, PolicyError> {
        let mut r = Reader::new(bytes);
        if r.u8()? != FORMAT {
            return Err(Malformed::Field("format").into());
        }
        let (room, generation) = (r.array()?, r.u32()?);
        let visibility = match r.u8()? {
            0 => Visibility::Private,
            1 => Visibility::Public,
            _ => return Err(Malformed::Field("visibility").into()),
        };
        let (name, topic) = (text(&mut r)?, text(&mut r)?);
        let (owners, moderators) = (accounts(&mut r, OWNERS_MAX)?, accounts(&mut r, MODERATORS_MAX)?);
        let invite = match r.u8()? {
            0 => InviteRule::Members,
            1 => InviteRule::Moderators,
            2 => InviteRule::Owners,
            _ => return Err(Malformed::Field("invite").into()),
        };
        let timer = match r.u32()? {
            0 => None,
            seconds => Some(seconds),
        };
        let (banned, muted) = (accounts(&mut r, BANNED_MAX)?, accounts(&mut r, MUTED_MAX)?);
        let owner_key = r.array()?;
        r.finish()?;
        let policy = Self {
            room,
            generation,
            visibility,
            name,
            topic,
            owners,
            moderators,
            invite,
            timer,
            banned,
            muted,
            owner_key,
        };
        policy.check()?;
        Ok(policy)
    }

    fn lists(&self) -> [&BTreeSet<String>; 4] {
        [&self.owners, &self.moderators, &self.banned, &self.muted]
    }
}

fn put_accounts(out: &mut Vec<u8>, accounts: &BTreeSet<String>) {
    out.extend_from_slice(&u16::try_from(accounts.len()).unwrap_or(u16::MAX).to_le_bytes());
    accounts.iter().for_each(|account| put_str8(out, account));
}

fn text(r: &mut Reader<'_>) -> Result<String, Malformed> {
    let len = usize::from(r.u16()?);
    let text = std::str::from_utf8(r.bytes(len)?).map_err(|_| Malformed::Field("text"))?;
    Ok(text.to_owned())
}

fn accounts(r: &mut Reader<'_>, most: usize) -> Result<BTreeSet<String>, Malformed> {
    let n = usize::from(r.u16()?);
    if n > most {
        return Err(Malformed::Field("accounts"));
    }
    let mut found = BTreeSet::new();
    for _ in 0..n {
        let account = r.account()?;
        if found.last().is_some_and(|last: &String| last.as_str() >= account) {
            return Err(Malformed::Field("accounts"));
        }
        found.insert(account.to_owned());
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;
    use ed25519_dalek::SigningKey;
    use proptest::prelude::*;

    use super::*;

    fn policy() -> Policy {
        let key = SigningKey::from_bytes(&[3; 32]).verifying_key().to_bytes();
        let mut policy = Policy::new([0x77; 16], Visibility::Public, "Lobby", "alice", key);
        policy.moderators.insert("bob".into());
        policy.ban("mallory");
        policy.muted.insert("dave".into());
        policy.timer = Some(60);
        policy
    }

    #[test]
    fn golden_bytes_of_a_policy() {
        let expected = [
            "01",
            &"77".repeat(16),
            "00000000",
            "01",
            "05004c6f626279",
            "0000",
            "010005616c696365",
            "010003626f62",
            "00",
            "3c000000",
            "0100076d616c6c6f7279",
            "01000464617665",
            "ed4928c628d1c2c6eae90338905995612959273a5c63f93636c14614ac8737d1",
        ];
        assert_eq!(HEXLOWER.encode(&policy().to_bytes()), expected.concat());
        assert_eq!(Policy::from_bytes(&policy().to_bytes()), Ok(policy()));
    }

    #[test]
    fn who_may_do_what() {
        let policy = policy();
        assert_eq!(
            ["alice", "bob", "carol"].map(|a| policy.role(a)),
            [Role::Owner, Role::Moderator, Role::Member]
        );
        for (actor, target, may) in [
            ("alice", "bob", true),
            ("alice", "carol", true),
            ("bob", "carol", true),
            ("bob", "alice", false),
            ("carol", "dave", false),
            ("carol", "alice", false),
        ] {
            assert_eq!(policy.may_moderate(actor, target), may, "{actor} {target}");
        }
        assert!(!policy.may_moderate("alice", "alice"));
        for (rule, may) in [
            (InviteRule::Members, [true; 3]),
            (InviteRule::Moderators, [true, true, false]),
            (InviteRule::Owners, [true, false, false]),
        ] {
            let policy = Policy { invite: rule, ..policy.clone() };
            assert_eq!(["alice", "bob", "carol"].map(|a| policy.may_invite(a)), may);
        }
    }

    #[test]
    fn one_past_each_bound_is_refused() {
        let many = |n: usize| (0..n).map(|n| format!("user{n}")).collect::<BTreeSet<_>>();
        type Change = fn(&mut Policy, BTreeSet<String>);
        let changes: [(&str, Change, usize); 4] = [
            ("owners", |p, a| p.owners = a, OWNERS_MAX),
            ("moderators", |p, a| p.moderators = a, MODERATORS_MAX),
            ("banned", |p, a| p.banned = a, BANNED_MAX),
            ("muted", |p, a| p.muted = a, MUTED_MAX),
        ];
        for (what, change, most) in changes {
            let mut fits = policy();
            change(&mut fits, many(most));
            assert_eq!(fits.check(), Ok(()), "{what}");
            let mut long = policy();
            change(&mut long, many(most + 1));
            assert!(matches!(long.check(), Err(PolicyError::TooLong(_))), "{what}");
        }
        for (name, topic) in [(NAME_MAX + 1, 0), (0, TEXT_MAX + 1)] {
            let long = Policy { name: "x".repeat(name), topic: "x".repeat(topic), ..policy() };
            assert!(Policy::from_bytes(&long.to_bytes()).is_err());
        }
        let largest = Policy {
            name: "x".repeat(NAME_MAX),
            topic: "x".repeat(TEXT_MAX),
            owners: (0..OWNERS_MAX).map(|n| format!("{n:o>32}")).collect(),
            moderators: (0..MODERATORS_MAX).map(|n| format!("{n:m>32}")).collect(),
            banned: (0..BANNED_MAX).map(|n| format!("{n:b>32}")).collect(),
            muted: (0..MUTED_MAX).map(|n| format!("{n:u>32}")).collect(),
            ..policy()
        };
        assert_eq!(largest.check(), Ok(()));
        assert!(largest.to_bytes().len() < crate::limits::EXTENSIONS_MAX);
    }

    #[test]
    fn who_is_gone_has_no_role_but_somebody_owns_the_room() {
        let mut policy = policy();
        policy.drop_roles(["alice", "bob", "carol"]);
        assert_eq!((policy.owners.len(), policy.moderators.len()), (1, 0));
        policy.set_role("dave", Role::Owner);
        policy.drop_roles(["alice"]);
        assert_eq!(policy.owners, ["dave".to_owned()].into());
        // Who was muted stays muted: nobody gets rid of that by leaving.
        policy.muted.insert("erin".into());
        policy.drop_roles(["erin"]);
        assert!(policy.muted.contains("erin"));
    }

    #[test]
    fn roles_exclude_each_other_and_somebody_owns_the_room() {
        assert_eq!(Policy { owners: BTreeSet::new(), ..policy() }.check(), Err(PolicyError::NoOwner));
        let mut both = policy();
        both.moderators.insert("alice".into());
        assert_eq!(both.check(), Err(PolicyError::TwoRoles));
        let mut banned = policy();
        banned.banned.insert("bob".into());
        assert_eq!(banned.check(), Err(PolicyError::TwoRoles));
        assert_eq!(Policy { owner_key: [0; 32], ..policy() }.check(), Err(PolicyError::OwnerKey));
    }

    proptest! {
        #[test]
        fn a_policy_has_one_form(at in any::<proptest::sample::Index>(), value: u8) {
            let mut bytes = policy().to_bytes();
            let at = at.index(bytes.len());
            bytes[at] = value;
            if let Ok(read) = Policy::from_bytes(&bytes) {
                prop_assert_eq!(read.to_bytes(), bytes);
            }
        }
    }
}
