//! Which key does what, where: one table, from which the help page, the hint line and the documentation come.

mod action;
mod chord;
mod table;

pub use action::Action;
pub use chord::Chord;
pub use table::BINDINGS;

/// Where a key is pressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Place {
    /// The lock screen.
    Lock,
    /// The conversation, with the cursor in the composer.
    Write,
    /// A message is selected.
    Select,
    /// Stepping through what a search found.
    Hits,
    /// Typing what to search for.
    Search,
    /// The palette.
    Palette,
    /// A page to read: help, status, a message's details.
    Page,
    /// A question with keys of its own.
    Question,
}

impl Place {
    /// Every place, in the order of the help page.
    pub const ALL: [Self; 8] = [
        Self::Write,
        Self::Select,
        Self::Search,
        Self::Hits,
        Self::Palette,
        Self::Page,
        Self::Question,
        Self::Lock,
    ];

    /// What the help page calls it.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Lock => "Lock screen",
            Self::Write => "Conversation",
            Self::Select => "Selected message",
            Self::Hits => "Search results",
            Self::Search => "Search",
            Self::Palette => "Palette",
            Self::Page => "Pages",
            Self::Question => "Questions",
        }
    }
}

/// When a binding holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Always.
    Always,
    /// Only while the composer is empty; otherwise the key does what it does in text.
    EmptyLine,
}

/// One line of the table.
#[derive(Debug)]
pub struct Binding {
    /// Where it holds.
    pub place: Place,
    /// The keys as they are shown; the first is the one that is shown first.
    pub keys: &'static [&'static str],
    /// Keys that do the same and are not shown: what terminals send for the others.
    pub also: &'static [&'static str],
    /// When it holds.
    pub when: When,
    /// What it does.
    pub action: Action,
    /// What the help page says.
    pub help: &'static str,
    /// What the hint line says, in a word or two; empty keeps it out of the hint line.
    pub hint: &'static str,
}

/// What a key does in a place, if it is bound there. `empty` tells whether the composer is.
#[must_use]
pub fn find(place: Place, chord: Chord, empty: bool) -> Option<Action> {
    BINDINGS
        .iter()
        .filter(|binding| binding.place == place && (binding.when == When::Always || empty))
        .find(|binding| binding.keys.iter().chain(binding.also).any(|key| Chord::parse(key) == Some(chord)))
        .map(|binding| binding.action)
}

/// The bindings of a place that hold now.
pub fn valid(place: Place, empty: bool) -> impl Iterator<Item = &'static Binding> {
    BINDINGS.iter().filter(move |binding| binding.place == place && (binding.when == When::Always || empty))
}

/// The hint line of a place: `r reply  y copy  …`.
#[must_use]
pub fn hint_line(place: Place) -> String {
    hints(place, |_| true).join("  ")
}

/// The hint line of a selected message. In a chat with one person it says what only rooms offer, so far.
#[must_use]
pub fn select_hints(in_room: bool) -> String {
    let mut parts = hints(Place::Select, |binding| in_room || !binding.action.only_in_rooms());
    if !in_room {
        let only: Vec<&str> = valid(Place::Select, true)
            .filter(|binding| binding.action.only_in_rooms())
            .filter_map(|binding| binding.keys.first().copied())
            .collect();
        parts.insert(SHOWN_FIRST.min(parts.len()), format!("({}: in rooms only)", only.join(" ")));
    }
    parts.join("  ")
}

fn hints(place: Place, which: impl Fn(&Binding) -> bool) -> Vec<String> {
    let shown = valid(place, true).filter(|binding| !binding.hint.is_empty() && which(binding));
    shown.filter_map(|binding| Some(format!("{} {}", binding.keys.first()?, binding.hint))).collect()
}

/// Hints of a selected message that go before what only rooms offer: newer, older, reply, copy, info.
const SHOWN_FIRST: usize = 5;

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_bound_action_has_a_hint() {
        for binding in BINDINGS {
            assert!(!binding.help.is_empty(), "{:?} has no help text", binding.action);
            assert!(!binding.keys.is_empty(), "{:?} has no key", binding.action);
            for key in binding.keys.iter().chain(binding.also) {
                assert!(Chord::parse(key).is_some(), "{key} is not a key");
            }
            // What acts on a message is told in the hint line as soon as one is selected.
            if binding.place == Place::Select {
                assert!(!binding.hint.is_empty(), "{:?} has no hint", binding.action);
                assert!(hint_line(Place::Select).contains(binding.hint));
            }
        }
    }

    #[test]
    fn no_key_has_two_meanings_in_a_place() {
        let mut seen = HashSet::new();
        for binding in BINDINGS {
            for key in binding.keys.iter().chain(binding.also) {
                let chord = Chord::parse(key).unwrap();
                let free = seen.insert((binding.place, chord, binding.when == When::Always));
                assert!(free, "{key} is bound twice in {:?}", binding.place);
            }
        }
    }

    #[test]
    fn the_line_decides_where_it_must() {
        let question = Chord::parse("?").unwrap();
        assert_eq!(find(Place::Write, question, true), Some(Action::Help));
        assert_eq!(find(Place::Write, question, false), None);
        let k = Chord::parse("Ctrl-K").unwrap();
        assert_eq!(find(Place::Write, k, true), Some(Action::Palette));
        assert!(matches!(find(Place::Write, k, false), Some(Action::Edit(_))));
    }

    #[test]
    fn every_place_has_a_way_out_and_help() {
        for place in Place::ALL {
            assert!(valid(place, true).next().is_some(), "{place:?}");
            assert!(
                valid(place, true).any(|b| matches!(b.action, Action::Interrupt)),
                "{place:?} without Ctrl-C"
            );
            assert!(valid(place, true).any(|b| matches!(b.action, Action::Help)), "{place:?} without help");
        }
    }
}
