//! `rosad up`.

use std::{io::Write, net::SocketAddr, path::PathBuf};

use clap::Args;
use serde_json::json;
use tracing::Level;

use super::{INTERNAL, Place, USAGE, fail};
use crate::{
    Relay,
    config::{Config, Registration},
    logging::{self, LogFormat},
    shutdown::{Signals, Wanted},
};

#[derive(Debug, Args)]
pub(super) struct Up {
    #[command(flatten)]
    place: Place,
    /// Address and UDP port to listen on [default: [::]:4433, both address families]
    #[arg(long, value_name = "IP:PORT")]
    listen: Option<SocketAddr>,
    /// The host by which clients reach this relay [default: found from the network]
    #[arg(long, value_name = "HOST[:PORT]")]
    public: Option<String>,
    /// Serve /health, /ready and /metrics here, on loopback
    #[arg(long, value_name = "IP:PORT")]
    http: Option<SocketAddr>,
    /// Allow --http on an address that others can reach
    #[arg(long)]
    http_public: bool,
    /// Who may register [default: invite]
    #[arg(long, value_enum, value_name = "POLICY")]
    registration: Option<Registration>,
    /// A certificate chain (PEM) instead of the self-made one
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,
    /// The certificate's private key (PEM)
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
    /// With --cert: put the key's fingerprint into the address all the same
    #[arg(long, requires = "cert")]
    pin: bool,
    /// One JSON object on standard output when ready, instead of text
    #[arg(long)]
    json: bool,
    /// text or json
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<LogFormat>,
    /// error, warn, info, debug or trace
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<Level>,
}

impl Up {
    pub(super) async fn run(self) -> u8 {
        let json = self.json;
        let config = match self.config() {
            Ok(config) => config,
            Err(error) => return fail(json, USAGE, &error.to_string()),
        };
        logging::begin(config.log_format, config.log_level.parse().unwrap_or(Level::INFO));
        let mut signals = match Signals::listen() {
            Ok(signals) => signals,
            Err(error) => return fail(json, INTERNAL, &format!("cannot listen to signals: {error}")),
        };
        let relay = match Relay::start(config.clone()).await {
            Ok(relay) => relay,
            Err(error) => return fail(json, error.exit_code(), &error.to_string()),
        };
        announce(&relay, &config, json);
        tracing::info!("ready");
        let broken = loop {
            tokio::select! {
                wanted = signals.next() => match wanted {
                    Wanted::Stop => break false,
                    Wanted::Reload => relay.reload_certificate(),
                },
                () = relay.broken() => break true,
            }
        };
        tracing::info!("stopping");
        relay.shutdown().await;
        if broken {
            return fail(
                json,
                INTERNAL,
                "the disk failed to keep a write; look at it, then start the relay again",
            );
        }
        tracing::info!("stopped");
        0
    }

    fn config(self) -> Result<Config, crate::config::ConfigError> {
        let mut config = self.place.read()?;
        config.listen = self.listen.unwrap_or(config.listen);
        config.public = self.public.or(config.public);
        config.http = self.http.or(config.http);
        config.http_public |= self.http_public;
        config.registration = self.registration.unwrap_or(config.registration);
        config.cert = self.cert.or(config.cert);
        config.key = self.key.or(config.key);
        config.pin |= self.pin;
        config.log_format = self.log_format.unwrap_or(config.log_format);
        if let Some(level) = self.log_level {
            config.log_level = level.to_string().to_lowercase();
        }
        config.check()?;
        Ok(config)
    }
}

/// Says that the relay is ready, and how to reach it. Nobody may be reading: that is no reason to stop.
fn announce(relay: &Relay, config: &Config, json: bool) {
    let invite = relay.first_invite().map(|made| made.link.to_string());
    let text = if json {
        let ready = json!({
            "event": "ready",
            "address": relay.address().to_string(),
            "invite": invite,
            "quic": relay.quic_addr().to_string(),
            "http": relay.http_addr().map(|address| address.to_string()),
        });
        format!("{ready}\n")
    } else {
        let mut text = format!(
            "  rosad {}   data {} (0700)   quic :{}   storage sqlite   registration {}\n",
            env!("CARGO_PKG_VERSION"),
            config.data.display(),
            relay.quic_addr().port(),
            config.registration.name(),
        );
        let why = if relay.address().fingerprint.is_some() {
            "pinned key, no CA, no DNS needed"
        } else {
            "certificate checked against the system's roots"
        };
        text += &format!("  relay       {}          {why}\n", relay.address());
        if let Some(http) = relay.http_addr() {
            text += &format!("  watch       http://{http}/health /ready /metrics\n");
        }
        if let Some(invite) = invite {
            text += &format!("  first user  rosa join '{invite}'     admin, one use, 24 h\n");
        }
        text
    };
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
