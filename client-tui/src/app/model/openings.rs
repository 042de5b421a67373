//! Chats that were asked for by name and are not there yet: the relay is asked who that is.

/// Texts that wait for one chat.
const TEXTS_MAX: usize = 100;

/// A chat that is being opened.
#[derive(Debug)]
struct Opening {
    name: String,
    texts: Vec<String>,
    awaited: bool,
}

/// Chats that are being opened, each once. What is written after `/msg NAME` is meant for NAME, also when another chat is
/// still on the screen.
#[derive(Debug, Default)]
pub struct Openings(Vec<Opening>);

/// What became of an opening.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Opened {
    /// The texts that waited, oldest first.
    pub texts: Vec<String>,
    /// Whether the person still waits for the chat, and went nowhere else.
    pub awaited: bool,
}

impl Openings {
    /// A chat was asked for. Tells whether it was not already.
    pub fn begin(&mut self, name: &str, text: Option<&str>) -> bool {
        self.leave();
        let known = self.0.iter().position(|opening| opening.name == name);
        let begun = known.is_none();
        let mut opening = match known {
            Some(at) => self.0.remove(at),
            None => Opening { name: name.to_owned(), texts: Vec::new(), awaited: true },
        };
        opening.awaited = true;
        opening.texts.extend(text.map(str::to_owned));
        self.0.push(opening);
        begun
    }

    /// The person went to another chat.
    pub fn leave(&mut self) {
        for opening in &mut self.0 {
            opening.awaited = false;
        }
    }

    /// The chat that the person waits for.
    #[must_use]
    pub fn awaited(&self) -> Option<&str> {
        self.0.iter().find(|opening| opening.awaited).map(|opening| opening.name.as_str())
    }

    /// A text for the chat that the person waits for. `false`: too many wait already, or no chat is awaited.
    pub fn push(&mut self, text: &str) -> bool {
        let awaited = self.0.iter_mut().find(|opening| opening.awaited && opening.texts.len() < TEXTS_MAX);
        awaited.map(|opening| opening.texts.push(text.to_owned())).is_some()
    }

    /// The answer about a name has come.
    pub fn take(&mut self, name: &str) -> Opened {
        let Some(at) = self.0.iter().position(|opening| opening.name == name) else {
            return Opened::default();
        };
        let Opening { texts, awaited, .. } = self.0.remove(at);
        Opened { texts, awaited }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_for_the_chat_asked_for_last() {
        let mut openings = Openings::default();
        assert!(!openings.push("nowhere to go"));
        assert!(openings.begin("alice", Some("one")));
        assert!(openings.push("two"));
        assert!(openings.begin("bob", None));
        assert!(openings.push("three"));
        assert!(!openings.begin("alice", None));
        assert!(openings.push("four"));
        assert_eq!(openings.awaited(), Some("alice"));
        openings.leave();
        assert_eq!(openings.awaited(), None);
        assert!(!openings.push("nowhere to go"));
        let texts = ["one", "two", "four"].map(str::to_owned).to_vec();
        assert_eq!(openings.take("alice"), Opened { texts, awaited: false });
        assert_eq!(openings.take("bob").texts, ["three"]);
        assert_eq!(openings.take("bob"), Opened::default());
    }

    #[test]
    fn they_are_bounded() {
        let mut openings = Openings::default();
        openings.begin("alice", None);
        let taken = (0..TEXTS_MAX + 5).filter(|_| openings.push("x")).count();
        assert_eq!(taken, TEXTS_MAX);
    }
}
