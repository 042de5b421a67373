//! `rosad invite`.

use std::time::Duration;

use clap::Args;

use super::{NOT_READY, Place, USAGE, ask_relay, fail, lifetime};
use crate::{
    admin::AdminRequest,
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
        let request = AdminRequest::Invite { uses: self.uses, ttl_s };
        let answer = match ask_relay(&config.data, self.json, &request).await {
            Ok(answer) => answer,
            Err(code) => return code,
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
