//! Completion of commands and names before the cursor.

use super::{COMMANDS, Command, Takes, find};

/// Candidates shown and stepped through.
const CANDIDATES_MAX: usize = 50;

/// What a member can be made.
const ROLES: [&str; 3] = ["owner", "moderator", "member"];

/// What the word before the cursor may become.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Completion {
    /// Bytes before the cursor that a candidate replaces.
    pub replaces: usize,
    /// What may stand there, with the space that follows.
    pub candidates: Vec<String>,
}

/// What can be named, each by name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Names {
    /// Chats and contacts.
    pub people: Vec<String>,
    /// Members of the open room; elsewhere, people.
    pub members: Vec<String>,
    /// Who can be mentioned here.
    pub mentions: Vec<String>,
    /// Rooms, with their `#`.
    pub rooms: Vec<String>,
}

/// Completes what stands before the cursor.
#[must_use]
pub fn complete(before: &str, known: &Names) -> Completion {
    let word = before.rsplit(|c: char| c.is_whitespace()).next().unwrap_or_default();
    let names = |names: &[String], prefix: &str, lead: &str| -> Vec<String> {
        let found = names.iter().filter(|name| name.starts_with(prefix)).take(CANDIDATES_MAX);
        found.map(|name| format!("{lead}{name} ")).collect()
    };
    let person = |known: &[String]| match word.strip_prefix('@') {
        Some(prefix) => names(known, prefix, "@"),
        None => names(known, word, ""),
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
                    Some(Takes::Person | Takes::PersonOrHere | Takes::PersonAndText) => person(&known.people),
                    Some(Takes::Member | Takes::MemberAndRole) => person(&known.members),
                    Some(Takes::Room) => names(&known.rooms, word, ""),
                    Some(Takes::Command) => commands(word.trim_start_matches('/'), ""),
                    _ => Vec::new(),
                }
            }
            Some((name, _)) => match find(name).map(|command| command.takes) {
                Some(Takes::MemberAndRole) => names(&ROLES.map(str::to_owned), word, ""),
                _ => Vec::new(),
            },
        },
        None => match word.strip_prefix('@') {
            Some(prefix) => names(&known.mentions, &prefix.to_ascii_lowercase(), "@"),
            None if word.starts_with('#') => names(&known.rooms, word, ""),
            None => Vec::new(),
        },
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
        let all = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let people = all(&["#ops", "bob", "bobby", "carol"]);
        let members = all(&["bob", "dave"]);
        let mentions = all(&["bob", "dave", "room"]);
        complete(before, &Names { people, members, mentions, rooms: all(&["#ops"]) }).candidates
    }

    #[test]
    fn rooms_members_and_roles_are_completed_where_they_are_meant() {
        assert_eq!(candidates("hello @"), ["@bob ", "@dave ", "@room "]);
        assert_eq!(candidates("hello @D"), ["@dave "]);
        assert_eq!(candidates("see #o"), ["#ops "]);
        assert_eq!(candidates("/kick d"), ["dave "]);
        assert_eq!(candidates("/invite ca"), ["carol "]);
        assert_eq!(candidates("/role @da"), ["@dave "]);
        assert_eq!(candidates("/role dave mo"), ["moderator "]);
        assert_eq!(candidates("/join #"), ["#ops "]);
    }

    #[test]
    fn commands_names_and_mentions_are_completed() {
        assert_eq!(candidates("/re"), ["/reply ", "/rename ", "/renew ", "/react ", "/reconnect "]);
        assert_eq!(candidates("/msg bo"), ["bob ", "bobby "]);
        assert_eq!(candidates("/verify @c"), ["@carol "]);
        assert_eq!(candidates("/help tr"), ["trust "]);
        assert_eq!(candidates("hello @bob"), ["@bob "]);
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
