//! Slash commands: one table, from which parsing, completion, inline help and the help page come.

pub mod complete;
pub mod flags;
pub mod parse;

/// What a command does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// Opens a chat, and writes there.
    Msg,
    /// Adds somebody.
    Add,
    /// Accepts a request.
    Accept,
    /// Compares safety numbers.
    Verify,
    /// Accepts a changed key.
    Trust,
    /// Makes a room.
    Create,
    /// Lists rooms.
    Rooms,
    /// Joins a room, or accepts an invitation.
    Join,
    /// Leaves a room.
    Leave,
    /// Changes something of the open room.
    Invite,
    /// Removes a member.
    Kick,
    /// Bans an account.
    Ban,
    /// Lifts a ban.
    Unban,
    /// Gives a role.
    Role,
    /// Sets the topic.
    Topic,
    /// Renames the room.
    Rename,
    /// Makes a room's group anew.
    Renew,
    /// Mutes a member, or the room here.
    Mute,
    /// Undoes that.
    Unmute,
    /// Lists the members.
    Members,
    /// Tells what is known of a room.
    Show,
    /// Changes the last own message of a room.
    Edit,
    /// Takes it back.
    Delete,
    /// Puts a sign beside the last message of others in a room.
    React,
    /// Pins the last message of a room.
    Pin,
    /// Searches.
    Search,
    /// Answers the last message of the other side.
    Reply,
    /// Help.
    Help,
    /// Connection and queues.
    Status,
    /// All keys.
    Keys,
    /// Connects anew.
    Reconnect,
    /// Locks.
    Lock,
    /// Quits.
    Quit,
}

/// What follows a command, for completion and for refusing what is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    /// Nothing.
    Nothing,
    /// Somebody's name.
    Person,
    /// Somebody's name; without it, the open chat.
    PersonOrHere,
    /// Somebody's name, then perhaps a text.
    PersonAndText,
    /// Somebody in this room; the command says whether it must be there.
    Member,
    /// Somebody in this room, then a role.
    MemberAndRole,
    /// The name of a room.
    Room,
    /// A text.
    Text,
    /// Perhaps the name of a command.
    Command,
}

/// A line of the table.
#[derive(Debug)]
pub struct Command {
    /// The name, without the slash.
    pub name: &'static str,
    /// Other names.
    pub aliases: &'static [&'static str],
    /// What follows it, for completion.
    pub takes: Takes,
    /// What follows it, as it is shown.
    pub arguments: &'static str,
    /// What it does, in a line.
    pub help: &'static str,
    /// What it does.
    pub verb: Verb,
}

impl Command {
    /// `/msg NAME [TEXT]`.
    #[must_use]
    pub fn usage(&self) -> String {
        let space = if self.arguments.is_empty() { "" } else { " " };
        format!("/{}{space}{}", self.name, self.arguments)
    }
}

macro_rules! commands {
    ($($name:literal $([$($alias:literal),+])? $takes:ident $arguments:literal => $verb:ident, $help:literal;)+) => {
        /// Every command.
        pub const COMMANDS: &[Command] = &[$(Command {
            name: $name,
            aliases: &[$($($alias),+)?],
            takes: Takes::$takes,
            arguments: $arguments,
            help: $help,
            verb: Verb::$verb,
        },)+];
    };
}

commands! {
    "msg" ["query", "w"] PersonAndText "NAME [TEXT]" => Msg, "open a chat, and write there";
    "add" Person "NAME" => Add, "add somebody without writing yet";
    "accept" PersonOrHere "[NAME]" => Accept, "accept a request; answering does it too";
    "reply" Text "[TEXT]" => Reply, "answer the last message of the other side";
    "create" Text "NAME [FLAGS]" => Create, "make a room; private, unless --public; also --slug S, --topic \"…\", --description \"…\", --large";
    "rooms" Text "[PREFIX]" => Rooms, "your rooms with their topics, and the relay's public ones";
    "join" ["j"] Room "[ROOM]" => Join, "join a public room by its slug, or accept an invitation to #ROOM";
    "leave" ["part"] Room "[ROOM]" => Leave, "leave a room, or decline an invitation";
    "invite" Person "[#ROOM] NAME" => Invite, "invite somebody to this room";
    "kick" Member "[#ROOM] NAME" => Kick, "remove a member of this room";
    "ban" Member "[#ROOM] NAME" => Ban, "ban an account from this room";
    "unban" Person "[#ROOM] NAME" => Unban, "lift a ban";
    "role" MemberAndRole "[#ROOM] NAME owner|moderator|member" => Role, "give a member of this room another role";
    "topic" Text "[TEXT|--none]" => Topic, "set this room's topic, or remove it; without a text, tell it";
    "rename" Text "NAME" => Rename, "rename this room";
    "renew" Room "[ROOM]" => Renew, "make a room's group anew, as an owner: when nobody can follow its log any more";
    "members" ["names"] Room "[ROOM]" => Members, "who is in this room";
    "show" Room "[ROOM]" => Show, "what is known of this room, or of a public one";
    "mute" Member "[#ROOM] [NAME]" => Mute, "keep a member from writing; without a name, no noise for this room";
    "unmute" Member "[#ROOM] [NAME]" => Unmute, "undo that";
    "edit" Text "TEXT" => Edit, "change your last message in this room";
    "delete" Nothing "" => Delete, "take back your last message in this room";
    "react" Text "SIGN [--undo]" => React, "put a sign, such as an emoji, beside the last message of the others";
    "pin" Text "[--undo]" => Pin, "pin the last message to this room";
    "search" Text "WORDS" => Search, "search all messages";
    "verify" PersonOrHere "[NAME]" => Verify, "compare the safety number with somebody";
    "trust" PersonOrHere "[NAME]" => Trust, "accept a changed key; held messages go out";
    "status" Nothing "" => Status, "connection, queues, keys";
    "keys" Nothing "" => Keys, "all keys, everywhere";
    "help" Command "[COMMAND]" => Help, "help";
    "reconnect" Nothing "" => Reconnect, "connect to the relay anew, at once";
    "lock" Nothing "" => Lock, "lock now";
    "quit" ["q"] Nothing "" => Quit, "quit; queued messages stay and go out next time";
}

/// The command of a name or an alias.
#[must_use]
pub fn find(name: &str) -> Option<&'static Command> {
    COMMANDS.iter().find(|command| command.name == name || command.aliases.contains(&name))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_are_unique_and_all_is_explained() {
        let mut seen = HashSet::new();
        for command in COMMANDS {
            assert!(!command.help.is_empty());
            assert_eq!(command.arguments.is_empty(), command.takes == Takes::Nothing, "{}", command.name);
            for name in command.aliases.iter().chain([&command.name]) {
                assert!(seen.insert(*name), "{name} twice");
                assert_eq!(find(name).map(|c| c.verb), Some(command.verb));
            }
        }
        assert!(find("nonsense").is_none());
    }
}
