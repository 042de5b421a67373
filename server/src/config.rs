//! The configuration: a TOML file, then flags. docs/OPERATIONS.md lists it.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use subrosa_protocol::{RelayAddress, Slug, address::DEFAULT_PORT, frames::RegistrationPolicy};

use crate::{limits::Limits, logging::LogFormat, tls::CertificateFiles};

/// Who may register, as it is written in the file and on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Registration {
    /// Anybody.
    Open,
    /// Holders of an invite.
    #[default]
    Invite,
    /// Nobody.
    Closed,
}

impl Registration {
    /// The word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Invite => "invite",
            Self::Closed => "closed",
        }
    }
}

impl From<Registration> for RegistrationPolicy {
    fn from(registration: Registration) -> Self {
        match registration {
            Registration::Open => Self::Open,
            Registration::Invite => Self::Invite,
            Registration::Closed => Self::Closed,
        }
    }
}

/// Everything an operator can decide.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The data directory.
    pub data: PathBuf,
    /// Where to listen (UDP). `[::]` listens on both address families.
    pub listen: SocketAddr,
    /// The host, and port if it differs, by which clients reach this relay.
    pub public: Option<String>,
    /// Where to serve `/health`, `/ready` and `/metrics`; nowhere by default.
    pub http: Option<SocketAddr>,
    /// Allows `http` on an address that is not loopback.
    pub http_public: bool,
    /// Who may register.
    pub registration: Registration,
    /// The slug of the public room that new accounts join by themselves.
    pub lobby: Option<String>,
    /// A certificate chain (PEM) instead of the self-made one; with `key`.
    pub cert: Option<PathBuf>,
    /// The certificate's private key (PEM).
    pub key: Option<PathBuf>,
    /// With `cert`: put the key's fingerprint into the address all the same. Then the key must never change.
    pub pin: bool,
    /// The form of log lines.
    pub log_format: LogFormat,
    /// How much to log: `error`, `warn`, `info`, `debug` or `trace`.
    pub log_level: String,
    /// Every limit.
    pub limits: Limits,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data: PathBuf::from("./rosad-data"),
            listen: SocketAddr::from((Ipv6Addr::UNSPECIFIED, DEFAULT_PORT)),
            public: None,
            http: None,
            http_public: false,
            registration: Registration::default(),
            lobby: None,
            cert: None,
            key: None,
            pin: false,
            log_format: LogFormat::default(),
            log_level: "info".to_owned(),
            limits: Limits::default(),
        }
    }
}

/// What is wrong with a configuration. The messages are for the operator.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {path}: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not a configuration.
    #[error("the configuration {path} has a mistake:\n{reason}\nsee the reference in docs/OPERATIONS.md")]
    Mistake {
        /// The file.
        path: PathBuf,
        /// Where and what.
        reason: String,
    },
    /// Values that do not go together.
    #[error("{0}")]
    Contradiction(String),
}

impl Config {
    /// For a relay inside a program or a test: a free loopback port and `data`.
    #[must_use]
    pub fn loopback(data: impl Into<PathBuf>) -> Self {
        Self { data: data.into(), listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), ..Self::default() }
    }

    /// Reads a file.
    ///
    /// # Errors
    /// [`ConfigError::Unreadable`] and [`ConfigError::Mistake`].
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
        toml::from_str(&text)
            .map_err(|error| ConfigError::Mistake { path: path.to_owned(), reason: error.to_string() })
    }

    /// Checks what a type cannot.
    ///
    /// # Errors
    /// [`ConfigError::Contradiction`] says what, why and what to do.
    pub fn check(&self) -> Result<(), ConfigError> {
        let wrong = |text: &str| Err(ConfigError::Contradiction(text.to_owned()));
        if self.cert.is_some() != self.key.is_some() {
            return wrong("cert and key belong together: give both, or neither for a self-made certificate");
        }
        if let Some(http) = self.http
            && !http.ip().is_loopback()
            && !self.http_public
        {
            return Err(ConfigError::Contradiction(format!(
                "http {http} can be reached from outside, and what it tells is nobody's business: use 127.0.0.1, or set \
                 http_public = true (--http-public) if a firewall or proxy guards it"
            )));
        }
        self.public_address()?;
        if self.log_level.parse::<tracing::Level>().is_err() {
            return wrong("log_level is one of error, warn, info, debug, trace");
        }
        self.lobby_slug()?;
        let limits = &self.limits;
        let times = [
            limits.handshake_timeout_s,
            limits.unauthenticated_timeout_s,
            limits.half_frame_timeout_s,
            limits.idle_timeout_s,
            limits.keep_alive_s,
            limits.shutdown_s,
        ];
        if times.iter().any(|seconds| !(1..=3600).contains(seconds)) {
            return wrong("the timeouts in [limits] are from 1 to 3600 seconds");
        }
        if limits.proof_lifetime_s == 0 || limits.proof_deadline_s == 0 {
            return wrong("proof_lifetime_s and proof_deadline_s in [limits] are at least 1");
        }
        Ok(())
    }

    /// `lobby`, understood.
    ///
    /// # Errors
    /// [`ConfigError::Contradiction`] when it is no slug.
    pub fn lobby_slug(&self) -> Result<Option<Slug>, ConfigError> {
        let slug = self.lobby.as_deref().map(Slug::new).transpose();
        slug.map_err(|error| {
            ConfigError::Contradiction(format!("lobby is the slug of a public room: {error}"))
        })
    }

    /// `public`, understood.
    ///
    /// # Errors
    /// [`ConfigError::Contradiction`] when it is no host.
    pub fn public_address(&self) -> Result<Option<(String, Option<u16>)>, ConfigError> {
        let Some(public) = &self.public else { return Ok(None) };
        let bare: Result<Ipv6Addr, _> = public.parse();
        let text = if bare.is_ok() { format!("[{public}]") } else { public.clone() };
        let address: RelayAddress = format!("rosa://{text}").parse().map_err(|error| {
            ConfigError::Contradiction(format!(
                "public is a host name or address, with :port if need be: {error}"
            ))
        })?;
        if address.fingerprint.is_some() || text.contains('/') {
            return Err(ConfigError::Contradiction(
                "public is only a host, with :port if need be".to_owned(),
            ));
        }
        let explicit = text.rsplit_once(']').map_or(text.as_str(), |(_, rest)| rest).contains(':');
        Ok(Some((address.host, explicit.then_some(address.port))))
    }

    /// Files of the operator's own certificate.
    #[must_use]
    pub fn own_certificate(&self) -> Option<CertificateFiles> {
        Some(CertificateFiles { cert: self.cert.clone()?, key: self.key.clone()? })
    }

    /// The host that goes into the relay's address: `public`, else where it listens, else the address of the interface
    /// that leads outside (asked of the routing table; no packet is sent), else loopback.
    #[must_use]
    pub fn host(&self) -> String {
        if let Ok(Some((host, _))) = self.public_address() {
            return host;
        }
        let ip = self.listen.ip();
        if ip.is_unspecified() {
            outgoing().unwrap_or(Ipv4Addr::LOCALHOST.into()).to_string()
        } else {
            ip.to_string()
        }
    }
}

/// The address of this machine on the way to the outside. The two targets are reserved for documentation.
fn outgoing() -> Option<IpAddr> {
    let routes: [(IpAddr, &str); 2] =
        [(Ipv4Addr::UNSPECIFIED.into(), "192.0.2.1:9"), (Ipv6Addr::UNSPECIFIED.into(), "[2001:db8::1]:9")];
    routes.into_iter().find_map(|(from, to)| {
        let socket = std::net::UdpSocket::bind((from, 0)).ok()?;
        socket.connect(to).ok()?;
        let ip = socket.local_addr().ok()?.ip();
        (!ip.is_unspecified()).then_some(ip)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Config, toml::de::Error> {
        toml::from_str(text)
    }

    #[test]
    fn an_empty_file_is_the_default_and_the_default_survives_writing() {
        assert_eq!(parsed("").unwrap(), Config::default());
        let text = toml::to_string(&Config::default()).unwrap();
        assert_eq!(parsed(&text).unwrap(), Config::default());
        Config::default().check().unwrap();
    }

    #[test]
    fn limits_are_changed_one_by_one_and_unknown_words_are_refused() {
        let config = parsed(
            "registration = \"open\"\n[limits]\nproof_lifetime_s = 1\n\
             lookups_per_account = { burst = 5, refill = 1, period_ms = 10 }",
        )
        .unwrap();
        assert_eq!(config.limits.proof_lifetime_s, 1);
        assert_eq!(config.limits.lookups_per_account.burst, 5);
        assert_eq!(config.limits.mailbox_envelopes, Limits::default().mailbox_envelopes);
        assert!(parsed("registraton = \"open\"").is_err());
        assert!(parsed("[limits]\nmailbox = 1").is_err());
    }

    #[test]
    fn contradictions_say_what_to_do() {
        let wrong = |config: Config| config.check().unwrap_err().to_string();
        let cert = Config { cert: Some("a".into()), ..Config::default() };
        assert!(wrong(cert).contains("give both"));
        let http = Config { http: Some("192.0.2.1:80".parse().unwrap()), ..Config::default() };
        assert!(wrong(http.clone()).contains("http_public"));
        Config { http_public: true, ..http }.check().unwrap();
        assert!(wrong(Config { log_level: "loud".into(), ..Config::default() }).contains("debug"));
        let limits = Limits { proof_lifetime_s: 0, ..Limits::default() };
        assert!(wrong(Config { limits, ..Config::default() }).contains("proof_lifetime_s"));
        assert!(wrong(Config { lobby: Some("The Lobby".into()), ..Config::default() }).contains("slug"));
        assert!(Config { lobby: Some("lobby".into()), ..Config::default() }.check().is_ok());
        for public in ["a b", "rosa://x", "host/path", ":1"] {
            Config { public: Some(public.into()), ..Config::default() }.check().unwrap_err();
        }
    }

    #[test]
    fn the_public_host_is_understood_in_every_form() {
        let public = |text: &str| {
            Config { public: Some(text.to_owned()), ..Config::default() }.public_address().unwrap().unwrap()
        };
        assert_eq!(public("relay.example"), ("relay.example".to_owned(), None));
        assert_eq!(public("relay.example:443"), ("relay.example".to_owned(), Some(443)));
        assert_eq!(public("2001:db8::1"), ("2001:db8::1".to_owned(), None));
        assert_eq!(public("[2001:db8::1]:9"), ("2001:db8::1".to_owned(), Some(9)));
        let listening = Config { listen: "192.0.2.7:1".parse().unwrap(), ..Config::default() };
        assert_eq!(listening.host(), "192.0.2.7");
        assert!(!Config::default().host().is_empty());
    }
}
