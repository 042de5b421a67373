//! Completion of commands and names before the cursor.

use super::{COMMANDS, Command, Takes, find};

/// Candidates shown and stepped through.
const CANDIDATES_MAX: usize = 50;

/// What the word before the cursor may become.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Completion {
    /// Bytes before the cursor that a candidate replaces.
    pub replaces: usize,
    /// What may stand there, with the space that follows.
    pub candidates: Vec<String>,
}

/// Completes what stands before the cursor. `people` are the names of chats and contacts.
#[must_use]
pub fn complete(before: &str, people: &[String]) -> Completion {
    let word = before.rsplit(|c: char| c.is_whitespace()).next().unwrap_or_default();
    let names = |prefix: &str, lead: &str| {
        let found = people.iter().filter(|name| name.starts_with(prefix)).take(CANDIDATES_MAX);
        found.map(|name| format!("{lead}{name} ")).collect()
    };
    let commands = |prefix: &str, lead: &str| {
        let found = COMMANDS.iter().filter(|command| command.name.starts_with(prefix));
        found.map(|command| format!("{lead}{} ", command.name)).collect()
    };
    let candidates = match before.strip_prefix('/') {
        Some(line) => match line.split_once(char::is_whitespace) {
            None => commands(line, "/"),
            Some((name, arguments)) if !arguments.trim_start().contains(char::is_whitespace) => {
                match find(name).map(|command| command.takes) {
                    Some(Takes::Person | Takes::PersonOrHere | Takes::PersonAndText) => {
                        match word.strip_prefix('@') {
                            Some(prefix) => names(prefix, "@"),
                            None => names(word, ""),
                        }
                    }
                    Some(Takes::Command) => commands(word.trim_start_matches('/'), ""),
                    _ => Vec::new(),
                }
            }
            Some(_) => Vec::new(),
        },
        None => word.strip_prefix('@').map(|prefix| names(prefix, "@")).unwrap_or_default(),
    };
    Completion { replaces: word.len(), candidates }
}

/// The commands a line that is being written may become, for the inline help.
#[must_use]
pub fn matching(line: &str) -> Vec<&'static Command> {
    let Some(rest) = line.strip_prefix('/') else { return Vec::new() };
    match rest.split_once(char::is_whitespace) {
        Some((name, _)) => find(name).into_iter().collect(),
        None => {
            let begins = COMMANDS.iter().filter(|command| command.name.starts_with(rest));
            let exact = find(rest).filter(|command| !command.name.starts_with(rest));
            begins.chain(exact).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidates(before: &str) -> Vec<String> {
        complete(before, &["bob".to_owned(), "bobby".to_owned(), "carol".to_owned()]).candidates
    }

    #[test]
    fn commands_names_and_mentions_are_completed() {
        assert_eq!(candidates("/re"), ["/reply ", "/rename ", "/react ", "/reconnect "]);
        assert_eq!(candidates("/msg bo"), ["bob ", "bobby "]);
        assert_eq!(candidates("/verify @c"), ["@carol "]);
        assert_eq!(candidates("/help tr"), ["trust "]);
        assert_eq!(candidates("hello @bob"), ["@bob ", "@bobby "]);
        assert!(candidates("/msg bob hi c").is_empty());
        assert!(candidates("hello bo").is_empty());
        assert!(candidates("/lock x").is_empty());
    }

    #[test]
    fn the_inline_help_follows_what_is_typed() {
        let names = |line| matching(line).iter().map(|c| c.name).collect::<Vec<_>>();
        assert_eq!(names("/st"), ["status"]);
        assert_eq!(names("/msg bob x"), ["msg"]);
        assert_eq!(names("/query"), ["msg"]);
        assert!(names("hello").is_empty());
    }
}
