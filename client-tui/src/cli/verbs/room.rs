//! `rosa room …`: making, finding, joining and ruling rooms. Each waits until the relay has taken it.

use std::{
    ffi::OsString,
    fs::OpenOptions,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use serde_json::json;
use subrosa_client::{
    ApiError, Handle, Reply, Request,
    api::{ConnectionState, CreateRoom, Kind, Role, RoomEvidence, echo},
};

use crate::cli::{
    context::{Context, reply_of},
    failure::Failure,
    flush, format,
};

/// How long the relay may take to tell what is new.
const SYNC_MS: u64 = 20_000;

/// Rooms.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to do
    #[command(subcommand)]
    pub action: Action,
}

impl Action {
    /// Whether it changes something at the relay: without an answer in time it is not known whether it is done.
    pub const fn changes(&self) -> bool {
        !matches!(
            self,
            Self::List { .. }
                | Self::Show { .. }
                | Self::Evidence { .. }
                | Self::Members { .. }
                | Self::History { .. }
                | Self::Edit { .. }
                | Self::Delete { .. }
                | Self::React { .. }
                | Self::Pin { .. }
        )
    }
}

/// A room and somebody.
#[derive(Debug, clap::Args)]
pub struct Member {
    /// The room: its label, slug or id, with # or without
    pub room: String,
    /// The account
    pub name: String,
}

/// What somebody may do.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub enum RoleArg {
    /// Everything
    Owner,
    /// Remove, ban and mute members, set the topic
    Moderator,
    /// Write
    Member,
}

/// What to do with rooms.
#[derive(Debug, clap::Subcommand)]
pub enum Action {
    /// Make a room; private, unless --public is given
    Create {
        /// What it is called
        name: String,
        /// Everybody on the relay can find and join it
        #[arg(long)]
        public: bool,
        /// Its name in the relay's directory; without it, one is made from the name
        #[arg(long, requires = "public")]
        slug: Option<String>,
        /// What the directory says of it
        #[arg(long, requires = "public", default_value = "")]
        description: String,
        /// What it is about
        #[arg(long, default_value = "")]
        topic: String,
        /// For more than 250 devices: without post-quantum keys
        #[arg(long)]
        large: bool,
    },
    /// The relay's public rooms
    List {
        /// Only those whose slug begins so
        #[arg(default_value = "")]
        prefix: String,
    },
    /// What is known of a room
    Show {
        /// #LABEL, as this profile calls it; or, without #, the relay's slug or id
        room: String,
    },
    /// Join a public room, or accept an invitation
    Join {
        /// #LABEL of an invitation; or, without #, the slug or id of a public room
        room: String,
    },
    /// Leave a room, or decline an invitation
    Leave {
        /// Label, slug or id
        room: String,
    },
    /// Invite somebody
    Invite(Member),
    /// Remove a member
    Kick(Member),
    /// Ban an account, and remove it
    Ban(Member),
    /// Lift a ban
    Unban(Member),
    /// Give a member another role
    Role {
        /// The room: its label, slug or id
        room: String,
        /// The account
        name: String,
        /// Which
        #[arg(value_enum)]
        role: RoleArg,
    },
    /// Set the topic; without one, show it
    Topic {
        /// Label, slug or id
        room: String,
        /// The topic; empty text removes it, as --none does
        topic: Option<String>,
        /// Remove it
        #[arg(long, conflicts_with = "topic")]
        none: bool,
    },
    /// Rename a room; its label and slug stay
    Rename {
        /// Label, slug or id
        room: String,
        /// The name
        name: String,
    },
    /// Make a room's group anew, as an owner: when nobody can follow its log any more
    Renew {
        /// Label, slug or id
        room: String,
    },
    /// Proof that the relay showed members different histories
    Evidence {
        /// Label, slug or id
        room: String,
        /// Write it as JSON to this new file; without it, it is shown
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Who is in a room
    Members {
        /// Label, slug or id
        room: String,
    },
    /// Keep a member from writing; without a name, make no noise for the room here
    Mute {
        /// Label, slug or id
        room: String,
        /// The account
        name: Option<String>,
        /// Undo it
        #[arg(long)]
        undo: bool,
    },
    /// Change an own message
    Edit {
        /// The message's id
        id: String,
        /// What it says from now on
        text: String,
    },
    /// Take a message back: an own one; moderators, anybody's
    Delete {
        /// The message's id
        id: String,
    },
    /// Put a sign beside a message
    React {
        /// The message's id
        id: String,
        /// An emoji, or a short word; it may begin with -
        #[arg(allow_hyphen_values = true)]
        sign: String,
        /// Take it away again
        #[arg(long)]
        undo: bool,
    },
    /// Pin a message to its room
    Pin {
        /// The message's id
        id: String,
        /// Take the pin away
        #[arg(long)]
        undo: bool,
    },
    /// The last messages of a room
    History {
        /// Label, slug or id
        room: String,
        /// Only messages before this one's place
        #[arg(long, value_name = "ORDER")]
        before: Option<i64>,
        /// At most this many: 1 to 500
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=500))]
        limit: u32,
    },
}

/// # Errors
/// What the relay, or the room's rules, do not allow.
pub async fn run(args: Args, context: &Context) -> Result<(), Failure> {
    if let Action::React { sign, .. } = &args.action {
        no_flag(sign, std::env::args_os())?;
    }
    let handle = context.open().await?;
    let local = matches!(
        args.action,
        Action::Members { .. }
            | Action::Evidence { .. }
            | Action::History { .. }
            | Action::Topic { topic: None, none: false, .. }
            | Action::Mute { name: None, .. }
            | Action::Edit { .. }
            | Action::Delete { .. }
            | Action::React { .. }
            | Action::Pin { .. }
    );
    // A program that was just started is not connected yet, and what was said meanwhile comes first.
    if !local && (context.owns().await || connects(context, &*handle).await?) {
        let synced = context.call(&*handle, Request::SyncWait { timeout_ms: SYNC_MS }).await;
        synced.map_err(not_done)?;
    }
    if let Action::Topic { room, topic: None, none: false } = &args.action {
        return show_topic(room, context, &*handle).await;
    }
    let file = match &args.action {
        Action::Evidence { out, .. } => out.clone(),
        _ => None,
    };
    let reply = context.call(&*handle, request(args.action)).await?;
    match (reply, file) {
        (Reply::RoomEvidence { evidence }, Some(path)) => write_evidence(&evidence, &path, context)?,
        (reply, _) => show(reply, context)?,
    }
    leave(context, &*handle).await
}

/// A sign may begin with `-`; what begins with `--` is a flag that does not exist, unless it stands after `--`.
fn no_flag(sign: &str, mut line: impl Iterator<Item = OsString>) -> Result<(), Failure> {
    if !sign.starts_with("--") || line.any(|word| word == "--") {
        return Ok(());
    }
    let hint = format!("after -- it is a sign: rosa room react ID -- {}", echo(sign));
    Err(Failure::usage(format!("there is no flag {}", echo(sign)), hint))
}

/// The relay was not reached, and nobody tries it again but who asked for it.
fn not_done(error: ApiError) -> ApiError {
    if matches!(error.kind, Kind::Unreachable | Kind::Timeout) {
        return error.hint("nothing was changed; try again when the relay answers");
    }
    error
}

/// Whether the owner of the profile, a daemon that was just started for one, is about to be connected.
async fn connects(context: &Context, handle: &dyn Handle) -> Result<bool, Failure> {
    let reply = context.call(handle, Request::StatusShow {}).await?;
    let status = reply_of!(reply, Reply::Status(status) => status)?;
    Ok(matches!(status.connection, ConnectionState::Connecting {}))
}

async fn leave(context: &Context, handle: &dyn Handle) -> Result<(), Failure> {
    flush::before_leaving(context, handle).await
}

fn request(action: Action) -> Request {
    match action {
        Action::Create { name, public, slug, description, topic, large } => {
            Request::RoomCreate(CreateRoom { name, public, slug, description, topic, large })
        }
        Action::List { prefix } => Request::RoomList { prefix },
        Action::Show { room } => Request::RoomShow { room },
        Action::Join { room } => Request::RoomJoin { room },
        Action::Leave { room } => Request::RoomLeave { room },
        Action::Invite(Member { room, name }) => Request::RoomInvite { room, name },
        Action::Kick(Member { room, name }) => Request::RoomKick { room, name },
        Action::Ban(Member { room, name }) => Request::RoomBan { room, name },
        Action::Unban(Member { room, name }) => Request::RoomUnban { room, name },
        Action::Role { room, name, role } => {
            let role = match role {
                RoleArg::Owner => Role::Owner,
                RoleArg::Moderator => Role::Moderator,
                RoleArg::Member => Role::Member,
            };
            Request::RoomRole { room, name, role }
        }
        Action::Topic { room, topic, .. } => Request::RoomTopic { room, topic: topic.unwrap_or_default() },
        Action::Rename { room, name } => Request::RoomRename { room, name },
        Action::Renew { room } => Request::RoomRenew { room },
        Action::Evidence { room, .. } => Request::RoomEvidence { room },
        Action::Members { room } => Request::RoomMembers { room },
        Action::Mute { room, name, undo } => Request::RoomMute { room, name, undo },
        Action::Edit { id, text } => Request::MessageEdit { id, text },
        Action::Delete { id } => Request::MessageDelete { id },
        Action::React { id, sign, undo } => Request::MessageReact { id, sign, undo },
        Action::Pin { id, undo } => Request::MessagePin { id, undo },
        Action::History { room, before, limit } => Request::RoomHistory { room, before, limit },
    }
}

/// The topic of a room of this profile, as it is. Which room a name means, the engine decides as for every verb, and the relay
/// is not asked: that is why the history is.
async fn show_topic(room: &str, context: &Context, handle: &dyn Handle) -> Result<(), Failure> {
    let request = Request::RoomHistory { room: room.to_owned(), before: None, limit: 1 };
    let page = reply_of!(context.call(handle, request).await?, Reply::History(page) => page)?;
    let label = page
        .messages
        .last()
        .map_or_else(|| format!("#{}", room.trim().trim_start_matches('#')), |newest| newest.chat.clone());
    let reply = context.call(handle, Request::RoomShow { room: label }).await?;
    let room = reply_of!(reply, Reply::Room { room } => room)?;
    context.out.either(&json!({ "room": room }), || match room.topic.as_str() {
        "" => format!("{} has no topic", room.chat),
        topic => topic.to_owned(),
    })
}

/// Writes proof to a file of its own, which must not be there yet.
fn write_evidence(evidence: &[RoomEvidence], path: &Path, context: &Context) -> Result<(), Failure> {
    if evidence.is_empty() {
        return Err(Failure::new(
            Kind::NotFound,
            "there is no proof about this room: nothing contradicted it so far",
        ));
    }
    let failed = |error: &std::io::Error| Failure::new(Kind::Refused, format!("{}: {error}", path.display()));
    let json = serde_json::to_vec_pretty(&json!({ "v": 1, "evidence": evidence }));
    let json = json.map_err(std::io::Error::other).map_err(|error| failed(&error))?;
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let written = file.and_then(|mut file| {
        file.write_all(&json)?;
        file.write_all(b"\n")?;
        file.sync_all()
    });
    written.map_err(|error| failed(&error))?;
    let count = evidence.len();
    let said = json!({ "file": path.display().to_string(), "pieces": count });
    context.out.either(&said, || format!("{count} written to {}", path.display()))
}

fn show(reply: Reply, context: &Context) -> Result<(), Failure> {
    let out = &context.out;
    match reply {
        Reply::Room { room } => out.either(&json!({ "room": room }), || format::room::room(&room)),
        Reply::Rooms { rooms } => out.either(&json!({ "rooms": rooms }), || format::room::rooms(&rooms)),
        Reply::Members { members } => {
            out.either(&json!({ "members": members }), || format::room::members(&members))
        }
        Reply::RoomEvidence { evidence } => {
            out.either(&json!({ "evidence": evidence }), || format::room::evidence(&evidence))
        }
        Reply::Message { message, .. } => {
            let clock = format::time::Clock::here();
            out.either(&json!({ "message": message }), || format::chat::message(&message, &clock))
        }
        Reply::History(page) => {
            let clock = format::time::Clock::here();
            out.either(&json!(page), || {
                let lines: Vec<String> =
                    page.messages.iter().map(|line| format::chat::message(line, &clock)).collect();
                lines.join("\n")
            })
        }
        other => {
            reply_of!(other, Reply::Done {} => ())?;
            out.either(&json!({}), String::new)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_that_does_not_exist_is_no_sign() {
        let given = |line: &[&str]| {
            let sign = line.last().copied().unwrap_or_default();
            no_flag(sign, line.iter().map(OsString::from)).is_ok()
        };
        assert!(given(&["rosa", "room", "react", "ID", "-1"]));
        assert!(given(&["rosa", "room", "react", "ID", "-_-"]));
        assert!(!given(&["rosa", "room", "react", "ID", "--undoo"]));
        assert!(given(&["rosa", "room", "react", "ID", "--", "-->"]));
    }
}
