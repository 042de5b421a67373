//! Mentions in a text: `@name`, as the engine finds them.

use subrosa_client::mentions;

/// Bytes of a name at most; what is longer is nobody's.
const NAME_MAX: usize = 32;

/// The account a mention would be of: capitals do not matter. `None` where there cannot be one.
#[must_use]
pub fn account(word: &str) -> Option<String> {
    (!word.is_empty() && word.len() <= NAME_MAX).then(|| word.to_ascii_lowercase())
}

/// Hands out, piece by piece, where the mentions of a text stand in the lines that it was wrapped to. Wrapping drops and adds
/// white space alone, so that each `@` of the lines is the next one of the text, and a name that was broken goes on at the
/// start of the next line.
#[derive(Debug)]
pub struct Marker<T> {
    /// For each `@` that is still to come, the bytes of the mention and what it is; 0 bytes where it is none.
    ahead: std::vec::IntoIter<(usize, Option<T>)>,
    /// The bytes that are left of a mention that was broken.
    left: usize,
    kind: Option<T>,
}

impl<T: Copy> Marker<T> {
    /// What `kind` says each mentioned word of `text` is.
    pub fn new(text: &str, kind: impl Fn(&str) -> Option<T>) -> Self {
        let ahead: Vec<_> = mentions(text).map(|word| (word.len() + 1, kind(word))).collect();
        Self { ahead: ahead.into_iter(), left: 0, kind: None }
    }

    /// The pieces of the next line, and which of them are mentions.
    pub fn line<'a>(&mut self, line: &'a str) -> Vec<(&'a str, Option<T>)> {
        let mut pieces = Vec::new();
        let mut rest = line;
        while !rest.is_empty() {
            if self.left > 0 {
                let end = self.left.min(rest.find(' ').unwrap_or(rest.len()));
                let Some((mention, after)) = rest.split_at_checked(end).filter(|_| end > 0) else {
                    self.left = 0;
                    continue;
                };
                pieces.push((mention, self.kind));
                self.left = self.left.saturating_sub(end);
                rest = after;
                continue;
            }
            let at = rest.find('@').unwrap_or(rest.len());
            let (before, after) = rest.split_at(at);
            if !before.is_empty() {
                pieces.push((before, None));
            }
            rest = after;
            if !rest.is_empty() {
                (self.left, self.kind) = self.ahead.next().unwrap_or((1, None));
            }
        }
        pieces
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::app::text::wrap::wrap;

    fn marked(text: &str, width: usize) -> Vec<String> {
        let mut marker = Marker::new(text, |word| (word == "bob").then_some(()));
        let mut found = Vec::new();
        for line in wrap(text, width, width) {
            found.extend(
                marker.line(&line).into_iter().filter(|(_, kind)| kind.is_some()).map(|(p, _)| p.to_owned()),
            );
        }
        found
    }

    #[test]
    fn names_are_whole_words() {
        assert_eq!(mentions("hi @bob, @b_2! a@c.d @").collect::<Vec<_>>(), ["bob", "b_2", "c", ""]);
        assert_eq!(account("Bob").as_deref(), Some("bob"));
        assert_eq!(account(&"x".repeat(33)), None);
        assert_eq!(marked("hi @bob and @bobby, @bob.", 80), ["@bob", "@bob"]);
        assert_eq!(marked("@@bob@bob", 80), ["@bob", "@bob"]);
    }

    #[test]
    fn a_name_that_is_broken_is_one_mention() {
        assert_eq!(marked("xx@bob @bobby", 4), ["@b", "ob"]);
        assert_eq!(marked("@bobby", 4), Vec::<String>::new());
        assert_eq!(marked("xxxxx @bob", 6), ["@bob"]);
    }

    proptest! {
        #[test]
        fn nothing_is_lost_or_added(text in "[@bo é日\u{301}\n]{0,40}", width in 1usize..12) {
            let mut marker = Marker::new(&text, |word| (word == "bob").then_some(()));
            for line in wrap(&text, width, width) {
                let joined: String = marker.line(&line).into_iter().map(|(piece, _)| piece).collect();
                prop_assert_eq!(joined, line);
            }
        }
    }
}
