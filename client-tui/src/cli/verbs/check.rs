//! `rosa check`: is the profile as it should be? Permissions of its files, what the engine finds in the store, whether the
//! relay answers, whether the clock can be right. Exit code 0 when all is well, 4 when only the relay does not answer; when
//! only the connection is stopped until a person acts, the code of what stopped it; otherwise 3.

use std::{fs, io, os::unix::fs::MetadataExt, path::Path, time::Duration};

use subrosa_client::{
    ApiError, Reply, Request,
    api::{CheckItem, CheckReport, ConnectionState, Kind},
    profile::ProfilePaths,
};
use subrosa_protocol::SafeText;

use super::status::settled;
use crate::cli::{
    context::{Context, reply_of},
    failure::Failure,
    format,
};

/// How long the relay may take to answer.
const RELAY_WITHIN: Duration = Duration::from_secs(10);
/// 2025-01-01T00:00:00Z, in seconds: no clock is right that shows an earlier time.
const NOT_BEFORE: u64 = 1_735_689_600;
const RELAY: &str = "relay";
const CLOCK: &str = "clock";
const PERMISSIONS: &str = "permissions";

/// # Errors
/// When the profile cannot be opened, or something is not as it should be.
pub async fn run(context: &Context) -> Result<(), Failure> {
    let paths = context.existing()?;
    let handle = context.open().await?;
    let status = settled(context, &*handle, RELAY_WITHIN).await?;
    let reply = context.call(&*handle, Request::ProfileCheck {}).await?;
    let report = reply_of!(reply, Reply::Check(report) => report)?;
    let ours = [permissions(&paths), relay(&status.connection), clock()];
    let mut items = report.items;
    items.extend(
        ours.into_iter()
            .filter(|item| !items.iter().any(|found| found.name == item.name))
            .collect::<Vec<_>>(),
    );
    let report = CheckReport { ok: items.iter().all(|item| item.ok), items };
    context.out.either(&report, || format::status::check(&report))?;
    verdict(&report, &status.connection)
}

fn verdict(report: &CheckReport, connection: &ConnectionState) -> Result<(), Failure> {
    let failed: Vec<&str> =
        report.items.iter().filter(|item| !item.ok).map(|item| item.name.as_str()).collect();
    match failed.as_slice() {
        [] => Ok(()),
        [RELAY] => Err(match connection {
            // The relay did answer, or is not even asked: this is an old copy, the device was removed, its key is another.
            ConnectionState::Blocked { error } => error.clone(),
            _ => ApiError::new(Kind::Unreachable, "the relay does not answer")
                .hint("everything else is well; `rosa status` says more"),
        }
        .into()),
        some => Err(ApiError::new(Kind::NotReady, format!("not as it should be: {}", some.join(", ")))
            .hint("each line that begins with FAIL says why")
            .into()),
    }
}

fn item(name: &str, outcome: Result<String, String>) -> CheckItem {
    let ok = outcome.is_ok();
    let (Ok(detail) | Err(detail)) = outcome;
    CheckItem { name: name.to_owned(), ok, detail: SafeText::single_line(&detail) }
}

fn permissions(paths: &ProfilePaths) -> CheckItem {
    let files = [&paths.store, &paths.vault, &paths.lock, &paths.socket];
    let wrong: Vec<String> = [closed(&paths.dir, 0o700)]
        .into_iter()
        .chain(files.into_iter().map(|path| closed(path, 0o600)))
        .filter_map(Result::err)
        .collect();
    let fine = || format!("{} and its files are closed to others", paths.dir.display());
    item(PERMISSIONS, if wrong.is_empty() { Ok(fine()) } else { Err(wrong.join("; ")) })
}

/// A file that is not there is nobody else's.
fn closed(path: &Path, mode: u32) -> Result<(), String> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.uid() != rustix::process::geteuid().as_raw() => {
            Err(format!("{} belongs to another user", path.display()))
        }
        Ok(found) if found.mode() & 0o777 & !mode != 0 => {
            Err(format!("{} has mode {:o}: chmod {mode:o}", path.display(), found.mode() & 0o777))
        }
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(format!("{}: {error}", path.display())),
    }
}

fn relay(connection: &ConnectionState) -> CheckItem {
    let outcome = match connection {
        ConnectionState::Up { transport, rtt_ms } => Ok(format!("answers, {transport}, {rtt_ms} ms")),
        ConnectionState::Connecting {} => Err("does not answer".to_owned()),
        ConnectionState::Down { reason, .. } => Err(reason.to_string()),
        ConnectionState::Blocked { error } => Err(error.to_string()),
    };
    item(RELAY, outcome)
}

fn clock() -> CheckItem {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let shown = format::time::Clock::here().long(subrosa_client::api::time::Timestamp(now.as_secs() * 1_000));
    item(CLOCK, if now.as_secs() > NOT_BEFORE { Ok(shown) } else { Err(format!("{shown} cannot be right")) })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_verdict_tells_a_relay_that_is_away_from_the_rest() {
        let report = |names: &[&str]| CheckReport {
            ok: names.is_empty(),
            items: [RELAY, "store"]
                .iter()
                .map(|name| CheckItem {
                    name: (*name).into(),
                    ok: !names.contains(name),
                    detail: SafeText::default(),
                })
                .collect(),
        };
        let down = ConnectionState::Down { reason: SafeText::single_line("silent"), retry_in_ms: 1 };
        assert_eq!(verdict(&report(&[]), &down), Ok(()));
        assert_eq!(verdict(&report(&[RELAY]), &down).unwrap_err().exit_code(), 4);
        assert_eq!(verdict(&report(&["store"]), &down).unwrap_err().exit_code(), 3);
        assert_eq!(verdict(&report(&[RELAY, "store"]), &down).unwrap_err().exit_code(), 3);
        for kind in [Kind::NotReady, Kind::Identity] {
            let error = ApiError::new(kind, "why");
            let blocked = ConnectionState::Blocked { error: error.clone() };
            assert_eq!(verdict(&report(&[RELAY]), &blocked), Err(error.into()));
        }
    }

    #[test]
    fn open_files_are_told() {
        let home = tempfile::tempdir().unwrap();
        let paths = ProfilePaths::resolve(home.path().join("p").to_str()).unwrap();
        fs::create_dir(&paths.dir).unwrap();
        fs::set_permissions(&paths.dir, fs::Permissions::from_mode(0o700)).unwrap();
        fs::write(&paths.vault, "").unwrap();
        fs::set_permissions(&paths.vault, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(permissions(&paths).ok, "{:?}", permissions(&paths));
        fs::set_permissions(&paths.vault, fs::Permissions::from_mode(0o640)).unwrap();
        let item = permissions(&paths);
        assert!(!item.ok && item.detail.contains("640"), "{item:?}");
        assert!(clock().ok);
    }
}
