//! What a line of input means: a text to send, a command, or something to ask about.

use strsim::levenshtein;

use super::{COMMANDS, Command, find};

/// Characters before a slash that are taken for a slip of the finger.
const STRAY_CHARACTERS: usize = 2;

/// What a line of input means.
#[derive(Debug, Clone, Copy)]
pub enum Input<'a> {
    /// Nothing but white space.
    Nothing,
    /// A text to send.
    Text(&'a str),
    /// A command and what follows it.
    Command(&'static Command, &'a str),
    /// A slash and something that is no command: never sent.
    Unknown {
        /// What stands behind the slash.
        name: &'a str,
        /// A command that is spelled nearly so.
        meant: Option<&'static str>,
    },
    /// A text that would be a command but for a character or two before it.
    Stray {
        /// The command, with its slash.
        command: &'a str,
        /// Which.
        name: &'static str,
    },
}

/// Reads a line of input.
#[must_use]
pub fn parse(input: &str) -> Input<'_> {
    if input.trim().is_empty() {
        return Input::Nothing;
    }
    match input.strip_prefix('/') {
        Some(rest) if rest.starts_with('/') => Input::Text(rest),
        Some(rest) => {
            let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
            let (name, arguments) = rest.split_at(end);
            match find(name) {
                Some(command) => Input::Command(command, arguments.trim()),
                None => Input::Unknown { name, meant: nearest(name) },
            }
        }
        None => match stray(input) {
            Some((command, name)) => Input::Stray { command, name },
            None => Input::Text(input.trim_end()),
        },
    }
}

/// Splits a name from what follows it.
#[must_use]
pub fn name_and_rest(arguments: &str) -> (&str, &str) {
    let end = arguments.find(char::is_whitespace).unwrap_or(arguments.len());
    let (name, rest) = arguments.split_at(end);
    (name.trim_start_matches('@'), rest.trim())
}

fn stray(input: &str) -> Option<(&str, &'static str)> {
    let slash = input.find('/')?;
    let (before, command) = input.split_at(slash);
    let slip = before.trim();
    if slip.chars().count() > STRAY_CHARACTERS || slip.contains(char::is_whitespace) {
        return None;
    }
    match parse(command) {
        Input::Command(found, _) => Some((command, found.name)),
        _ => None,
    }
}

/// The command whose name is at most two slips away.
fn nearest(name: &str) -> Option<&'static str> {
    // A name longer than this is no slip.
    let start: String = name.chars().take(32).collect();
    let names = COMMANDS.iter().flat_map(|c| c.aliases.iter().chain([&c.name]).map(move |n| (*n, c.name)));
    names
        .filter(|(known, _)| known.len() > 1)
        .map(|(known, shown)| (levenshtein(&start, known), shown))
        .filter(|(slips, shown)| *slips <= 2 && *slips < shown.len())
        .min_by_key(|(slips, _)| *slips)
        .map(|(_, shown)| shown)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::commands::Verb;

    #[test]
    fn texts_commands_and_slashes() {
        assert!(matches!(parse("hi there "), Input::Text("hi there")));
        assert!(matches!(parse("//etc is a folder"), Input::Text("/etc is a folder")));
        assert!(matches!(parse("/msg bob hi you"), Input::Command(c, "bob hi you") if c.verb == Verb::Msg));
        assert!(matches!(parse("/q"), Input::Command(c, "") if c.verb == Verb::Quit));
        assert!(matches!(parse(" \n"), Input::Nothing));
        assert_eq!(name_and_rest("@bob  hi you"), ("bob", "hi you"));
    }

    #[test]
    fn an_unknown_command_is_never_a_text() {
        assert!(matches!(parse("/serach x"), Input::Unknown { name: "serach", meant: Some("search") }));
        assert!(matches!(parse("/etc/passwd"), Input::Unknown { meant: None, .. }));
        assert!(matches!(parse("/"), Input::Unknown { .. }));
        assert!(matches!(parse("/ quit"), Input::Unknown { .. }));
    }

    #[test]
    fn a_stray_character_before_a_command_is_asked_about() {
        assert!(matches!(parse("i/help"), Input::Stray { command: "/help", name: "help" }));
        assert!(matches!(parse(" /quit"), Input::Stray { name: "quit", .. }));
        assert!(matches!(parse("ab /msg bob x"), Input::Stray { name: "msg", .. }));
        assert!(matches!(parse("and/or"), Input::Text(_)));
        assert!(matches!(parse("see /help"), Input::Text(_)));
        assert!(matches!(parse("1/2"), Input::Text(_)));
    }
}
