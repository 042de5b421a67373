//! The admin socket: how `rosad invite` and `rosad check` reach the running relay. A Unix socket, 0600, in the data
//! directory, for the same user (and root) only; one JSON object a line each way.
//!
//! | request | answer |
//! |---|---|
//! | `{"op":"invite","uses":1,"ttl_s":86400}` | `{"ok":true,"link":"rosa://…","uses":1,"expires_at":"2026-…Z"}` |
//! | `{"op":"status"}` | `{"ok":true,"address":"rosa://…","accepts_writes":true,"accounts":…,…}` |
//! | `{"op":"rooms","after":"slug"}` | `{"ok":true,"rooms":[{"room":"…","slug":"…","name":"…","accounts":…}],"more":false}`: the public rooms |
//! | `{"op":"remove_room","room":"slug or id"}` | `{"ok":true,"room":"…"}` |
//! | `{"op":"check"}` | `{"ok":true}` when the whole store is sound |
//! | `{"op":"backup","to":"/…/copy.db"}` | `{"ok":true}` when the copy is complete and on the disk |
//!
//! A failure is `{"ok":false,"error":"…"}`.

use std::{
    fs::{File, Permissions},
    io,
    os::{fd::AsRawFd, unix::fs::PermissionsExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream},
    sync::Semaphore,
    time::timeout,
};

use subrosa_protocol::{Slug, frames::RoomName};

use crate::{
    core::Core,
    data_dir::ADMIN_SOCKET,
    limits::{ADMIN_CONNECTIONS, ADMIN_LINE},
    relay::Inner,
    store::Timestamp,
};

/// Time for a request to arrive.
const PATIENCE: Duration = Duration::from_secs(10);
/// Time for the relay to answer: one that is stopped (SIGSTOP) or has no place left accepts, and says nothing.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// Time for a backup.
const BACKUP_WITHIN: Duration = Duration::from_secs(3600);
/// Paths of sockets are at most 107 bytes long; a longer one is reached through its directory's descriptor.
const PATH_MAX: usize = 100;

/// What may be asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
pub enum AdminRequest {
    /// A new invite.
    Invite {
        /// Registrations it allows.
        uses: u32,
        /// Seconds it lives.
        ttl_s: u64,
    },
    /// The public rooms.
    Rooms {
        /// Only slugs after this one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<String>,
    },
    /// Removes a room and all that is in it.
    RemoveRoom {
        /// Its slug or its id.
        room: String,
    },
    /// How the relay is.
    Status {},
    /// A look through the whole store.
    Check {},
    /// A copy of the whole store.
    Backup {
        /// The new file, absolute.
        to: PathBuf,
    },
}

/// Makes the socket. The caller holds the lock on the directory, so a socket that is there is a dead relay's.
///
/// # Errors
/// What the system says.
pub(crate) fn bind(dir: &Path) -> io::Result<UnixListener> {
    match std::fs::remove_file(dir.join(ADMIN_SOCKET)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let (path, _dir) = short_path(dir)?;
    let listener = UnixListener::bind(&path)?;
    std::fs::set_permissions(&path, Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Asks the relay that runs on `dir`.
///
/// # Errors
/// What the system says; `ConnectionRefused` or `NotFound` when none runs, `TimedOut` when it does not answer in five
/// seconds (a backup may take an hour).
pub async fn ask(dir: &Path, request: &AdminRequest) -> io::Result<Value> {
    let patience = if matches!(request, AdminRequest::Backup { .. }) { BACKUP_WITHIN } else { ANSWER_WITHIN };
    timeout(patience, converse_with(dir, request)).await.unwrap_or_else(|_| {
        let what = format!(
            "it does not answer within {} s: it is stopped, overloaded, or its admin socket is full",
            patience.as_secs()
        );
        Err(io::Error::new(io::ErrorKind::TimedOut, what))
    })
}

async fn converse_with(dir: &Path, request: &AdminRequest) -> io::Result<Value> {
    let (path, _dir) = short_path(dir)?;
    let mut stream = UnixStream::connect(path).await?;
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    stream.write_all(&line).await?;
    let mut answer = Vec::new();
    BufReader::new(stream).take(1 << 20).read_until(b'\n', &mut answer).await?;
    Ok(serde_json::from_slice(&answer)?)
}

/// Serves until the relay stops.
pub(crate) async fn serve(listener: UnixListener, relay: Arc<Inner>) {
    let places = Arc::new(Semaphore::new(ADMIN_CONNECTIONS));
    let stopping = relay.core.stopping.clone();
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let accepted = tokio::select! {
            () = stopping.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) if is_operator(&stream) => {
                let relay = Arc::clone(&relay);
                tokio::spawn(async move {
                    let _ = converse(stream, &relay).await;
                    drop(place);
                });
            }
            Ok(_) => tracing::warn!("another user tried the admin socket"),
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

fn is_operator(stream: &UnixStream) -> bool {
    let own = rustix::process::geteuid().as_raw();
    stream.peer_cred().is_ok_and(|peer| peer.uid() == own || peer.uid() == 0)
}

async fn converse(stream: UnixStream, relay: &Inner) -> io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    loop {
        let mut line = Vec::new();
        let limit = u64::try_from(ADMIN_LINE).unwrap_or(u64::MAX);
        let mut bounded = (&mut reader).take(limit);
        let read = timeout(PATIENCE, bounded.read_until(b'\n', &mut line)).await??;
        if read == 0 {
            return Ok(());
        }
        let whole = line.ends_with(b"\n");
        let answer = match serde_json::from_slice(&line) {
            Ok(request) if whole => answer(request, relay).await,
            Ok(_) => failure("the request is too long"),
            Err(error) => failure(&error.to_string()),
        };
        let mut bytes = serde_json::to_vec(&answer)?;
        bytes.push(b'\n');
        writer.write_all(&bytes).await?;
        if !whole {
            return Ok(());
        }
    }
}

async fn answer(request: AdminRequest, relay: &Inner) -> Value {
    let core = &relay.core;
    match request {
        AdminRequest::Invite { uses, ttl_s } => match relay.make_invite(uses, ttl_s, false).await {
            Ok(made) => json!({
                "ok": true, "link": made.link.to_string(), "uses": made.uses,
                "expires_at": rfc3339(made.expires_at),
            }),
            Err(error) => failure(&error.to_string()),
        },
        AdminRequest::Status {} => match core.store.statistics().await {
            Ok(stored) => json!({
                "ok": true,
                "address": relay.address().to_string(),
                "accepts_writes": core.accepts_writes(),
                "connections": core.gate.total(),
                "accounts": stored.accounts,
                "devices": stored.devices,
                "envelopes": stored.envelopes,
                "envelope_bytes": stored.envelope_bytes,
                "database_bytes": stored.database_bytes,
                "schema_version": stored.schema_version,
            }),
            Err(error) => failure(&error.to_string()),
        },
        AdminRequest::Rooms { after } => rooms(core, after).await,
        AdminRequest::RemoveRoom { room } => remove_room(core, &room).await,
        AdminRequest::Check {} => match core.store.check_integrity().await {
            Ok(()) => json!({ "ok": true }),
            Err(error) => failure(&error.to_string()),
        },
        AdminRequest::Backup { to } if !to.is_absolute() => failure("the backup's path is not absolute"),
        AdminRequest::Backup { to } => match core.store.back_up(&to).await {
            Ok(()) => json!({ "ok": true }),
            Err(error) => failure(&error.to_string()),
        },
    }
}

/// Public rooms on one page.
const ROOMS: usize = 500;

async fn rooms(core: &Core, after: Option<String>) -> Value {
    let Ok(after) = after.map(Slug::new).transpose() else { return failure("after is a slug") };
    match core.store.public_rooms(String::new(), after, ROOMS + 1).await {
        Ok(mut found) => {
            let more = found.len() > ROOMS;
            found.truncate(ROOMS);
            let rooms: Vec<Value> = found
                .iter()
                .map(|one| {
                    json!({
                        "room": one.room.to_string(), "slug": one.listing.slug.as_str(),
                        "name": &*one.listing.name, "accounts": one.accounts,
                    })
                })
                .collect();
            json!({ "ok": true, "rooms": rooms, "more": more })
        }
        Err(error) => failure(&error.to_string()),
    }
}

async fn remove_room(core: &Arc<Core>, room: &str) -> Value {
    // A slug of 26 characters that is an id as well is read as an id.
    let name = match (room.parse(), Slug::new(room)) {
        (Ok(id), _) => RoomName::Id(id),
        (Err(_), Ok(slug)) => RoomName::Slug(slug),
        (Err(_), Err(_)) => return failure("that is neither a slug nor a room's id"),
    };
    match crate::handlers::rooms::remove(core, name).await {
        Ok(Some(id)) => json!({ "ok": true, "room": id.to_string() }),
        Ok(None) => failure("there is no such room"),
        Err(error) => failure(&error.to_string()),
    }
}

/// Milliseconds since 1970 as RFC 3339 in UTC, with milliseconds.
pub(crate) fn rfc3339(ms: Timestamp) -> String {
    let time = i64::try_from(ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    format!("{:.3}", time.unwrap_or(jiff::Timestamp::MAX))
}

fn failure(error: &str) -> Value {
    json!({ "ok": false, "error": error })
}

/// The socket's path, through the directory's descriptor when it is too long for one (on Linux).
fn short_path(dir: &Path) -> io::Result<(PathBuf, Option<File>)> {
    let path = dir.join(ADMIN_SOCKET);
    if path.as_os_str().len() <= PATH_MAX {
        return Ok((path, None));
    }
    let dir = File::open(dir)?;
    let path = Path::new("/proc/self/fd").join(dir.as_raw_fd().to_string()).join(ADMIN_SOCKET);
    Ok((path, Some(dir)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_socket_is_private_however_long_its_path_is() {
        let parent = tempfile::tempdir().unwrap();
        for name in ["short".to_owned(), "long".repeat(40)] {
            let dir = parent.path().join(name);
            std::fs::create_dir(&dir).unwrap();
            let listener = bind(&dir).unwrap();
            let mode = std::fs::metadata(dir.join(ADMIN_SOCKET)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
            let (path, _held) = short_path(&dir).unwrap();
            let (client, accepted) = tokio::join!(UnixStream::connect(path), listener.accept());
            assert!(client.is_ok() && is_operator(&accepted.unwrap().0));
            // A relay that died leaves its socket behind.
            drop(listener);
            bind(&dir).unwrap();
        }
    }

    #[tokio::test]
    async fn a_relay_that_says_nothing_is_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let _listener = bind(dir.path()).unwrap();
        let error = ask(dir.path(), &AdminRequest::Status {}).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[test]
    fn times_are_rfc_3339_with_milliseconds() {
        assert_eq!(rfc3339(1_763_701_588_100), "2025-11-21T05:06:28.100Z");
        assert!(rfc3339(u64::MAX).starts_with("9999-"));
    }

    #[test]
    fn requests_are_strict() {
        assert!(serde_json::from_str::<AdminRequest>(r#"{"op":"invite","uses":1,"ttl_s":2}"#).is_ok());
        assert!(serde_json::from_str::<AdminRequest>(r#"{"op":"invite","uses":1}"#).is_err());
        assert!(serde_json::from_str::<AdminRequest>(r#"{"op":"status","x":1}"#).is_err());
        assert!(serde_json::from_str::<AdminRequest>(r#"{"op":"backup","to":"/tmp/copy.db"}"#).is_ok());
        assert!(serde_json::from_str::<AdminRequest>(r#"{"op":"backup"}"#).is_err());
        assert!(serde_json::from_str::<AdminRequest>(r#"{"op":"stop"}"#).is_err());
    }
}
