//! Logs on standard error. At the default level they hold no account names, ids, addresses or sizes, and nothing about
//! single messages (R55).

use std::{
    io::{self, IsTerminal},
    str::FromStr,
};

use serde::{Deserialize, Serialize};
use tracing::Level;
use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt, util::SubscriberInitExt};

/// The form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

impl FromStr for LogFormat {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err("expected text or json".to_owned()),
        }
    }
}

/// Begins to log. Only the relay's own lines below `warn`: libraries know addresses. Does nothing when a logger is
/// there already.
pub fn begin(format: LogFormat, level: Level) {
    let filter = EnvFilter::new(format!("warn,subrosa_server={level},rosad={level}"));
    let registry = tracing_subscriber::registry().with(filter);
    let begun = match format {
        LogFormat::Text => {
            let colour = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
            registry
                .with(fmt::layer().with_writer(io::stderr).with_target(false).with_ansi(colour))
                .try_init()
        }
        LogFormat::Json => registry.with(fmt::layer().json().with_writer(io::stderr)).try_init(),
    };
    if begun.is_ok() && level >= Level::DEBUG {
        tracing::warn!(
            "log level {level}: the log now tells when connections come and go and why requests are refused; \
             keep it private and short-lived"
        );
    }
}
