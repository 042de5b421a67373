//! `rosad invite`.

use std::{io, time::Duration};

use clap::Args;

use super::{INTERNAL, NOT_READY, Place, UNREACHABLE, USAGE, fail, lifetime};
use crate::{
    admin::{AdminRequest, ask},
    limits::{INVITE_TTL_MAX_S, INVITE_USES},
};

#[derive(Debug, Args)]
pub(super) struct Invite {
    #[command(flatten)]
    place: Place,
    /// Registrations it allows
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=i64::from(INVITE_USES)))]
    uses: u32,
    /// How long it lives: 90s, 30m, 24h, 7d [default: invite_ttl_s of the configuration, 7d]
    #[arg(long, value_name = "TIME", value_parser = invite_lifetime)]
    ttl: Option<Duration>,
    /// One JSON object on standard output
    #[arg(long)]
    json: bool,
}

fn invite_lifetime(text: &str) -> Result<Duration, String> {
    let ttl = lifetime(text)?;
    if (1..=INVITE_TTL_MAX_S).contains(&ttl.as_secs()) {
        Ok(ttl)
    } else {
        Err(format!("an invite lives for 1 second to {} days", INVITE_TTL_MAX_S / (24 * 3600)))
    }
}

impl Invite {
    pub(super) async fn run(self) -> u8 {
        let config = match self.place.read() {
            Ok(config) => config,
            Err(error) => return fail(self.json, USAGE, &error.to_string()),
        };
        let ttl_s = self.ttl.map_or(config.limits.invite_ttl_s, |ttl| ttl.as_secs());
        let answer = match ask(&config.data, &AdminRequest::Invite { uses: self.uses, ttl_s }).await {
            Ok(answer) => answer,
            Err(error) => {
                let data = config.data.display();
                let none = matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused);
                return if none {
                    let message = format!(
                        "no relay runs on {data}: start one with `rosad up --data {data}`, or name the right directory with --data"
                    );
                    fail(self.json, UNREACHABLE, &message)
                } else if error.kind() == io::ErrorKind::TimedOut {
                    fail(self.json, UNREACHABLE, &format!("the relay on {data}: {error}"))
                } else if error.kind() == io::ErrorKind::PermissionDenied {
                    let message =
                        format!("{data} belongs to another user: run this as the user who runs rosad");
                    fail(self.json, NOT_READY, &message)
                } else {
                    fail(self.json, INTERNAL, &format!("the relay on {data} did not answer: {error}"))
                };
            }
        };
        let Some(link) = answer.get("link").and_then(|link| link.as_str()) else {
            let error = answer.get("error").and_then(|error| error.as_str()).unwrap_or("no reason given");
            return fail(self.json, NOT_READY, &format!("the relay made no invite: {error}"));
        };
        if self.json {
            let expires_at = answer.get("expires_at");
            println!(
                "{}",
                serde_json::json!({ "invite": link, "uses": self.uses, "expires_at": expires_at })
            );
        } else {
            println!("rosa join '{link}'");
        }
        0
    }
}
