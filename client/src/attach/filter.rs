//! Which events somebody wants: `message.received`, or `message.*` for all that begin so. No pattern at all means every event.

/// Whether an event's name is among the patterns.
#[must_use]
pub fn matches(patterns: &[String], name: &str) -> bool {
    patterns.is_empty() || patterns.iter().any(|pattern| matches_one(pattern, name))
}

fn matches_one(pattern: &str, name: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == name, |start| name.starts_with(start))
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
}
