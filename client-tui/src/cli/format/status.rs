//! Connection, queues, checks.

use subrosa_client::api::{AccountInfo, CheckReport, ConnectionState, Status};

use super::table::{pairs, table};

/// Everything `rosa status` says.
#[must_use]
pub fn status(status: &Status) -> String {
    let (one_time, kem) = status.prekeys.unwrap_or_default();
    let prekeys = if status.prekeys.is_some() {
        format!("{one_time} X25519, {kem} ML-KEM")
    } else {
        "not known yet".into()
    };
    let mut queued = status.queued.to_string();
    if status.held > 0 {
        queued.push_str(&format!(", {} of them held for a key or an answer", status.held));
    }
    pairs(&[
        ("account", format!("{}, device {}", status.account, status.device)),
        ("relay", status.relay.clone()),
        ("connection", connection(&status.connection)),
        ("queued", queued),
        ("unread", status.unread.to_string()),
        ("prekeys", prekeys),
        ("events", status.seq.to_string()),
        ("discarded", status.discarded.to_string()),
        ("profile", status.profile.clone()),
        ("owner", format!("pid {}, rosa {}", status.pid, status.version)),
    ])
}

fn connection(connection: &ConnectionState) -> String {
    match connection {
        ConnectionState::Connecting {} => "connecting".to_owned(),
        ConnectionState::Up { transport, rtt_ms } => format!("up, {transport}, {rtt_ms} ms"),
        ConnectionState::Down { reason, retry_in_ms } => {
            format!(
                "down: {reason}; next try in {:.1} s",
                std::time::Duration::from_millis(*retry_in_ms).as_secs_f64()
            )
        }
        ConnectionState::Blocked { error } => match &error.hint {
            Some(hint) => format!("blocked: {error}; {hint}"),
            None => format!("blocked: {error}"),
        },
    }
}

/// A line a check.
#[must_use]
pub fn check(report: &CheckReport) -> String {
    let row = |item: &subrosa_client::api::CheckItem| {
        vec![if item.ok { "ok" } else { "FAIL" }.to_owned(), item.name.clone(), item.detail.to_string()]
    };
    table(&report.items.iter().map(row).collect::<Vec<_>>())
}

/// Who this profile is.
#[must_use]
pub fn account(account: &AccountInfo) -> String {
    let mut lines = vec![("account", account.address.clone())];
    if !account.display_name.is_empty() {
        lines.push(("shown as", account.display_name.to_string()));
    }
    lines.push(("device", account.device.to_string()));
    lines.push(("relay", account.relay.clone()));
    lines.push(("key", account.account_key.clone()));
    pairs(&lines)
}
