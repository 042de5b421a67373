//! Hints of the engine, which name verbs of `rosa`, as somebody in the application follows them: by slash commands.

use super::commands;

/// A hint with slash commands in the place of verbs. What has none stays as it is.
#[must_use]
pub(crate) fn for_the_application(hint: &str) -> String {
    let mut told = String::new();
    let mut rest = hint;
    while let Some((before, after)) = rest.split_once("rosa ") {
        told.push_str(before);
        match slash(after) {
            Some((command, behind)) => {
                told.push('/');
                told.push_str(command);
                rest = labels(behind, &mut told);
            }
            None => {
                told.push_str("rosa ");
                rest = after;
            }
        }
    }
    told.push_str(rest);
    if told.starts_with('/') { format!("try {told}") } else { told }
}

/// The command that does what a verb does, and what follows the verb.
fn slash(verb: &str) -> Option<(&'static str, &str)> {
    let end = |text: &str| text.find(|c: char| !c.is_ascii_lowercase()).unwrap_or(text.len());
    let (first, behind) = verb.split_at(end(verb));
    let second = behind.strip_prefix(' ').unwrap_or_default();
    let (second, behind_second) = second.split_at(end(second));
    match (first, second) {
        ("room", "list") | ("ls", "rooms") => Some(("rooms", behind_second)),
        ("room", name) => commands::find(name).map(|command| (command.name, behind_second)),
        ("verify" | "trust" | "accept" | "status" | "search", _) => {
            commands::find(first).map(|command| (command.name, behind))
        }
        _ => None,
    }
}

/// A shell wants `'#ops'`; here it is `#ops`.
fn labels<'a>(behind: &'a str, told: &mut String) -> &'a str {
    match behind.strip_prefix(" '#").and_then(|label| label.split_once('\'')) {
        Some((label, rest)) => {
            told.push_str(" #");
            told.push_str(label);
            rest
        }
        None => behind,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verbs_become_slash_commands() {
        for (hint, told) in [
            ("rosa room list", "try /rooms"),
            ("rosa room join '#ops'", "try /join #ops"),
            (
                "rosa ls rooms; a public one is joined first: rosa room join ops",
                "try /rooms; a public one is joined first: /join ops",
            ),
            (
                "make somebody an owner first: rosa room role '#ops' NAME owner",
                "make somebody an owner first: /role #ops NAME owner",
            ),
            ("lift the ban first: rosa room unban '#ops' bob", "lift the ban first: /unban #ops bob"),
            ("an owner renews the room: rosa room renew '#ops'", "an owner renews the room: /renew #ops"),
            (
                "compare safety numbers, then: rosa trust bob; it goes",
                "compare safety numbers, then: /trust bob; it goes",
            ),
            ("rosa room members ROOM", "try /members ROOM"),
            // What only the command line does, and what is no verb at all.
            ("rosa room evidence '#ops' writes the proof", "rosa room evidence '#ops' writes the proof"),
            ("start `rosa daemon` first", "start `rosa daemon` first"),
            ("ask rosa about it", "ask rosa about it"),
            ("", ""),
        ] {
            assert_eq!(for_the_application(hint), told);
        }
    }
}
