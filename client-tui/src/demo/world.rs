//! The relay and the two accounts of a demonstration. Everything lies in one temporary folder, which goes when this does.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::Path,
};

use data_encoding::HEXLOWER;
use subrosa_client::{
    ApiError, Engine,
    api::Kind,
    engine::EngineOptions,
    join::{self, JoinParams},
    profile::ProfilePaths,
};
use subrosa_protocol::{JoinLink, RelayAddress, Username};
use subrosa_server::{Config, Registration, Relay};
use zeroize::Zeroizing;

use crate::cli::failure::Failure;

/// The person.
pub const ALICE: &str = "alice";
/// The account that answers.
pub const ECHO: &str = "echo";

/// A relay and two accounts.
pub struct World {
    /// The person's engine.
    pub alice: Engine,
    /// The echo's engine.
    pub echo: Engine,
    relay: Relay,
    folder: tempfile::TempDir,
}

impl World {
    /// Starts the relay and registers both accounts; takes a few seconds, because passphrases are stretched.
    ///
    /// # Errors
    /// When the relay cannot start or refuses.
    pub async fn start() -> Result<Self, Failure> {
        let failed = |what: &str, error: &dyn std::fmt::Display| {
            Failure::from(
                ApiError::new(Kind::Internal, format!("{what}: {error}"))
                    .hint("TMPDIR names the folder it uses"),
            )
        };
        let folder = tempfile::Builder::new()
            .prefix("rosa-demo-")
            .tempdir()
            .map_err(|error| failed("there is no temporary folder", &error))?;
        let config = Config {
            data: folder.path().join("relay"),
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            registration: Registration::Open,
            ..Config::default()
        };
        let relay = Relay::start(config).await.map_err(|error| failed("the relay does not start", &error))?;
        let address = relay.address();
        let (alice, echo) =
            tokio::try_join!(person(folder.path(), &address, ALICE), person(folder.path(), &address, ECHO))?;
        Ok(Self { alice, echo, relay, folder })
    }

    /// Ends everything and removes the folder.
    pub async fn end(self) {
        tokio::join!(self.alice.shutdown(), self.echo.shutdown());
        self.relay.shutdown().await;
        if let Err(error) = self.folder.close() {
            tracing::warn!("the temporary folder stays: {error}");
        }
    }
}

async fn person(folder: &Path, relay: &RelayAddress, name: &str) -> Result<Engine, Failure> {
    let dir = folder.join(name);
    let paths = ProfilePaths::resolve(Some(&dir.to_string_lossy()))?;
    let name = Username::new(name).map_err(|error| Failure::new(Kind::Internal, error.to_string()))?;
    let params = JoinParams {
        link: JoinLink { relay: relay.clone(), invite: None },
        name,
        display_name: String::new(),
        passphrase: random_passphrase()?,
    };
    let joined = join::join(paths, params).await?;
    Ok(Engine::start(joined.store, EngineOptions::default())?)
}

fn random_passphrase() -> Result<Zeroizing<String>, Failure> {
    let mut bytes = Zeroizing::new([0; 16]);
    getrandom::fill(&mut *bytes).map_err(|_| Failure::new(Kind::Internal, "no randomness"))?;
    Ok(Zeroizing::new(HEXLOWER.encode(&*bytes)))
}
