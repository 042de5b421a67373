//! How the profile stands.

use subrosa_protocol::SafeText;

use super::{Core, Fault};
use crate::{
    api::{CheckItem, CheckReport, ConnectionState, Reply, Status},
    store::HeldFor,
};

impl Core {
    pub(super) fn status(&self) -> Result<Reply, Fault> {
        let mut status = Status {
            account: self.me.address.clone(),
            device: self.me.device.get(),
            relay: self.me.relay.to_string(),
            connection: self.link.state(),
            queued: 0,
            held: 0,
            unread: 0,
            prekeys: self.link.prekeys.map(|counts| (counts.one_time, counts.kem)),
            seq: 0,
            discarded: 0,
            profile: self.facts.profile.clone(),
            pid: self.facts.pid,
            version: self.facts.version.clone(),
        };
        self.store.read(|tx| {
            let rooms = tx.room_posts_waiting()?;
            status.queued = tx.pending_count()?.saturating_add(tx.outbox_count()?).saturating_add(rooms);
            for (account, device, reason) in tx.pending_targets()? {
                if device.is_none() && matches!(reason, HeldFor::Identity | HeldFor::Request) {
                    status.held = status.held.saturating_add(tx.held_count(&account, reason)?);
                }
            }
            status.unread = tx.unread_total()?;
            (_, status.seq) = tx.event_range()?;
            status.discarded = tx.discarded()?;
            Ok::<_, Fault>(())
        })?;
        Ok(Reply::Status(Box::new(status)))
    }

    pub(super) fn check(&self) -> Result<Reply, Fault> {
        let mut items = self.store.check();
        let own = self.store.read(|tx| tx.device_list(&self.me.account))?;
        let listed = own.is_some_and(|own| {
            let entry = own.list.device(self.me.device.get());
            let keys = self.me.keys.as_ref();
            entry.zip(keys).is_some_and(|(entry, keys)| keys.device.matches(entry))
        });
        items.push(item(
            "device",
            listed,
            if listed { "in the account's list" } else { "not in the account's list" },
        ));
        if let Some(error) = &self.faults.own {
            items.push(item("profile", false, &error.message));
        }
        let (ok, detail) = match self.link.state() {
            ConnectionState::Up { transport, rtt_ms } => (true, format!("{transport}, {rtt_ms} ms")),
            ConnectionState::Connecting {} => (false, "connecting".to_owned()),
            ConnectionState::Down { reason, .. } => (false, reason.to_string()),
            ConnectionState::Blocked { error } => (false, error.message.to_string()),
        };
        items.push(item("relay", ok, &detail));
        Ok(Reply::Check(CheckReport { ok: items.iter().all(|item| item.ok), items }))
    }
}

fn item(name: &str, ok: bool, detail: &str) -> CheckItem {
    CheckItem { name: name.to_owned(), ok, detail: SafeText::single_line(detail) }
}
