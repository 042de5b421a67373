//! Which events somebody wants: `message.received`, or `message.*` for all that begin so. No pattern at all means every event.

use strsim::levenshtein;

use crate::api::{ApiError, EventKind, Kind};

/// Letters that may be wrong in a name for another one to be meant.
const MISTAKES: usize = 3;

/// Whether an event's name is among the patterns.
#[must_use]
pub fn matches(patterns: &[String], name: &str) -> bool {
    patterns.is_empty() || patterns.iter().any(|pattern| matches_one(pattern, name))
}

/// Refuses patterns that no event of this version has: nobody waits for ever for a misspelt one.
///
/// # Errors
/// [`Kind::Usage`], with the name that was meant where that can be told.
pub fn check(patterns: &[String]) -> Result<(), ApiError> {
    patterns.iter().try_for_each(|pattern| check_one(pattern))
}

fn matches_one(pattern: &str, name: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == name, |start| name.starts_with(start))
}

fn check_one(pattern: &str) -> Result<(), ApiError> {
    let names = || EventKind::ALL.iter().map(|kind| kind.name());
    if names().any(|name| matches_one(pattern, name)) {
        return Ok(());
    }
    // Nobody sees more of it than a name has.
    let shown: String = pattern.chars().take(64).collect();
    let error = ApiError::new(Kind::Usage, format!("there is no event {shown:?}"));
    let groups = names().filter_map(|name| Some(format!("{}.*", name.split_once('.')?.0)));
    let near = names()
        .map(str::to_owned)
        .chain(groups)
        .map(|name| (levenshtein(&shown, &name), name))
        .min()
        .filter(|(mistakes, _)| *mistakes <= MISTAKES);
    Err(match near {
        Some((_, name)) => error.hint(format!("did you mean {name}?")),
        None => error.hint("docs/SCRIPTING.md lists the events; message.* is all that begin so"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_rest() {
        let only = |pattern: &str| [pattern.to_owned()];
        assert!(matches(&[], "message.received"));
        assert!(matches(&only("message.*"), "message.received"));
        assert!(matches(&only("*"), "message.received"));
        assert!(matches(&only("message.received"), "message.received"));
        assert!(!matches(&only("message.received"), "message.receive"));
        assert!(!matches(&only("message"), "message.received"));
        assert!(!matches(&only("contact.*"), "message.received"));
    }

    #[test]
    fn a_name_that_no_event_has_is_refused_with_the_one_that_was_meant() {
        let all = EventKind::ALL.iter().map(|kind| kind.name());
        let stars = ["*", "message.*", "message.re*", "connection.*"].into_iter();
        let known: Vec<String> = all.chain(stars).map(str::to_owned).collect();
        assert_eq!(check(&known), Ok(()));
        assert_eq!(check(&[]), Ok(()));
        let hint = |pattern: &str| {
            let error = check(&["message.*".to_owned(), pattern.to_owned()]).unwrap_err();
            assert_eq!(error.kind, Kind::Usage, "{pattern}");
            error.hint.unwrap().to_string()
        };
        assert_eq!(hint("message.recieved"), "did you mean message.received?");
        assert_eq!(hint("Message.received"), "did you mean message.received?");
        assert_eq!(hint("mesage.*"), "did you mean message.*?");
        assert_eq!(hint("message"), "did you mean message.*?");
        assert_eq!(hint("contact.add"), "did you mean contact.added?");
        for nothing_like_it in ["", "something.else", &"x".repeat(100_000)] {
            assert!(hint(nothing_like_it).contains("SCRIPTING"), "{nothing_like_it:.20}");
        }
    }

    #[test]
    fn distances_are_counted_in_letters() {
        for (one, other, expected) in [
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "", 3),
            ("abc", "abc", 0),
            ("ac", "abc", 1),
            ("abc", "axcd", 2),
        ] {
            assert_eq!(levenshtein(one, other), expected, "{one} {other}");
        }
    }
}
