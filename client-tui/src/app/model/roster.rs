//! The members of the open room, as the engine told last.

use std::collections::HashMap;

use subrosa_client::api::{Member, Role};

use super::Refresh;

/// The members of a room: owners first, then moderators, then the others, each by name.
#[derive(Debug, Default)]
pub struct Roster {
    members: Vec<Member>,
    /// Places by name: every mention on the screen is looked up at every drawing.
    places: HashMap<String, usize>,
    /// Bytes of the longest name.
    longest: usize,
    /// Asking for the members.
    pub refresh: Refresh,
    /// Why they are not known, when the engine refused to tell.
    pub refused: Option<String>,
}

/// A row of the member pane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RosterRow<'a> {
    /// So many members of a role follow.
    Role(Role, usize),
    /// A member.
    Member(&'a Member),
}

impl Roster {
    /// Takes the engine's list.
    pub fn replace(&mut self, mut members: Vec<Member>) {
        members.sort_by(|a, b| b.role.cmp(&a.role).then_with(|| a.name.cmp(&b.name)));
        self.places = members.iter().enumerate().map(|(at, member)| (member.name.clone(), at)).collect();
        self.longest = members.iter().map(|member| member.name.len()).max().unwrap_or(0);
        self.members = members;
        self.refused = None;
    }

    /// The members; none before the engine has told.
    #[must_use]
    pub fn all(&self) -> &[Member] {
        &self.members
    }

    /// Bytes of the longest name; 0 before the engine has told.
    #[must_use]
    pub const fn longest(&self) -> usize {
        self.longest
    }

    /// A member by name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Member> {
        self.places.get(name).and_then(|at| self.members.get(*at))
    }

    /// What the member pane shows: each role with its count, and its members below it.
    pub fn rows(&self) -> impl Iterator<Item = RosterRow<'_>> {
        // Sorted by role: each begins where the one before ends.
        let of = |role: Role| {
            let from = self.members.partition_point(|member| member.role > role);
            let to = self.members.partition_point(|member| member.role >= role);
            self.members.get(from..to).unwrap_or_default()
        };
        [Role::Owner, Role::Moderator, Role::Member].into_iter().flat_map(move |role| {
            let members = of(role);
            let heading = (!members.is_empty()).then_some(RosterRow::Role(role, members.len()));
            heading.into_iter().chain(members.iter().map(RosterRow::Member))
        })
    }
}

#[cfg(test)]
mod tests {
    use subrosa_client::api::Trust;

    use super::*;

    fn member(name: &str, role: Role) -> Member {
        let devices = vec![1];
        Member {
            name: name.to_owned(),
            role,
            devices,
            muted: false,
            trust: Trust::Unverified,
            invited: false,
        }
    }

    #[test]
    fn members_stand_below_their_role() {
        let mut roster = Roster::default();
        assert_eq!(roster.rows().count(), 0);
        roster.replace(vec![
            member("carol", Role::Member),
            member("bob", Role::Member),
            member("alice", Role::Owner),
        ]);
        let rows: Vec<String> = roster
            .rows()
            .map(|row| match row {
                RosterRow::Role(role, count) => format!("{role:?} {count}"),
                RosterRow::Member(member) => member.name.clone(),
            })
            .collect();
        assert_eq!(rows, ["Owner 1", "alice", "Member 2", "bob", "carol"]);
        assert_eq!(roster.find("bob").map(|member| member.role), Some(Role::Member));
        assert!(roster.find("bo").is_none());
    }
}
