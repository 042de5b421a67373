//! A running relay, as a program or a test holds it.

use std::{io, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use subrosa_protocol::{Fingerprint, JoinLink, RelayAddress};
use subrosa_verify::opaque::RelayOpaque;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use crate::{
    admin,
    bus::InProcess,
    config::{Config, ConfigError, Registration},
    connection::{self, Link, Plain},
    core::{Core, Rates},
    data_dir::{DATABASE, DataDir, DataDirError, OPAQUE_SETUP},
    http,
    invites::{self, InviteError, MadeInvite},
    limits::{FIRST_INVITE_TTL_S, Limits},
    listener::{Gate, Network, QuicListener, Turned, bind},
    memory::Budget,
    metrics::Metrics,
    random,
    store::{
        Statistics, Store, StoreError,
        sqlite::{OpenError, SqliteOptions, SqliteStore},
    },
    tls::{Certificate, CertificateFiles, TlsError},
    upkeep,
};

/// Time for the last packets to leave.
const LAST_PACKETS: Duration = Duration::from_millis(500);
/// Time for the store to finish.
const STORE_CLOSE: Duration = Duration::from_secs(2);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Why a relay did not start. The messages are for the operator: what, why, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The data directory cannot be used, or another relay uses it.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// There is no usable certificate.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The database cannot be used.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// The database does not answer.
    #[error("the database does not answer: {0}")]
    StoreFailed(#[from] StoreError),
    /// The keys behind every passphrase are damaged.
    #[error("{0} is damaged: restore it from a backup; without it no passphrase of this relay works")]
    OpaqueDamaged(std::path::PathBuf),
    /// The keys behind every passphrase are gone while there are accounts.
    #[error(
        "{0} is missing, and this relay has accounts whose passphrases need it: restore it from a backup (without it, \
         devices that are logged in go on working, but nobody can log in anew)"
    )]
    OpaqueMissing(std::path::PathBuf),
    /// The address cannot be listened on.
    #[error(
        "cannot listen on {address} ({what}): {source}; choose another with {flag}, or stop what uses it"
    )]
    Listen {
        /// The address.
        address: SocketAddr,
        /// For what.
        what: &'static str,
        /// The flag that changes it.
        flag: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The admin socket cannot be made.
    #[error("cannot make the admin socket {path}: {source}")]
    Admin {
        /// Where.
        path: std::path::PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Something the system should always be able to do.
    #[error("the relay could not start: {0}")]
    System(#[from] io::Error),
}

impl StartError {
    /// The exit code of `rosad`: 1 internal, 2 usage, 3 not ready.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_) => 2,
            Self::System(_) | Self::StoreFailed(_) => 1,
            _ => 3,
        }
    }
}

/// A running relay. Dropping it stops it roughly; [`Relay::shutdown`] does it well.
pub struct Relay {
    inner: Arc<Inner>,
    listener: Arc<QuicListener>,
    certificate: Arc<Certificate>,
    quic: SocketAddr,
    http: Option<SocketAddr>,
    first_invite: Option<MadeInvite>,
    tasks: JoinSet<()>,
    /// Held for its lock until everything else has ended.
    data: DataDir,
}

/// What the admin socket needs of a relay.
pub(crate) struct Inner {
    pub(crate) core: Arc<Core>,
    host: String,
    port: u16,
    /// `None`: the address carries no fingerprint.
    pin: Option<Fingerprint>,
}

impl Inner {
    pub(crate) fn address(&self) -> RelayAddress {
        RelayAddress { host: self.host.clone(), port: self.port, fingerprint: self.pin }
    }

    pub(crate) async fn make_invite(
        &self,
        uses: u32,
        ttl_s: u64,
        admin: bool,
    ) -> Result<MadeInvite, InviteError> {
        invites::make(&self.core, self.address(), uses, ttl_s, admin).await
    }
}

impl Relay {
    /// Starts a relay with the embedded store in its data directory.
    ///
    /// # Errors
    /// [`StartError`]; nothing runs then.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        config.check()?;
        let data = DataDir::open(&config.data)?;
        let (path, options) = (data.file(DATABASE), sqlite_options(&config.limits));
        let opened = tokio::task::spawn_blocking(move || SqliteStore::open(&path, options)).await;
        let store = opened.map_err(io::Error::other)??;
        Self::start_in(config, data, Arc::new(store)).await
    }

    /// Starts a relay on a store of the caller's.
    ///
    /// # Errors
    /// [`StartError`]; nothing runs then.
    pub async fn start_with(config: Config, store: Arc<dyn Store>) -> Result<Self, StartError> {
        config.check()?;
        let data = DataDir::open(&config.data)?;
        Self::start_in(config, data, store).await
    }

    async fn start_in(config: Config, data: DataDir, store: Arc<dyn Store>) -> Result<Self, StartError> {
        let statistics = store.statistics().await?;
        let files = match config.own_certificate() {
            Some(files) => files,
            None => CertificateFiles::self_made(&data)?,
        };
        let certificate = Certificate::load(files)?;
        let opaque = opaque_keys(&data, &statistics)?;
        let socket =
            bind(config.listen).or_else(|error| without_ipv6(config.listen, error)).map_err(|source| {
                StartError::Listen { address: config.listen, what: "QUIC", flag: "--listen", source }
            })?;
        let http_listener =
            match config.http {
                Some(address) => Some(TcpListener::bind(address).await.map_err(|source| {
                    StartError::Listen { address, what: "HTTP", flag: "--http", source }
                })?),
                None => None,
            };
        let listener = Arc::new(QuicListener::new(socket, certificate.server_config()?, &config.limits)?);
        let quic = listener.local_addr()?;
        let http = http_listener.as_ref().map(TcpListener::local_addr).transpose()?;
        let core = Arc::new(new_core(&config, store, opaque));
        if config.limits.lift_rates {
            tracing::warn!("every rate limit is lifted: this is for benchmarks and tests");
        }
        upkeep::check_disk(&core, data.path());

        let public = config.public_address()?;
        let pin = (config.cert.is_none() || config.pin).then(|| certificate.fingerprint());
        let port = public.and_then(|(_, port)| port).unwrap_or(quic.port());
        let inner = Arc::new(Inner { core: Arc::clone(&core), host: config.host(), port, pin });
        let admin_socket = admin::bind(data.path())
            .map_err(|source| StartError::Admin { path: data.file(crate::data_dir::ADMIN_SOCKET), source })?;
        let wants_invite = config.registration == Registration::Invite && statistics.accounts == 0;
        let first_invite = if wants_invite && core.accepts_writes() {
            inner.make_invite(1, FIRST_INVITE_TTL_S, true).await.ok()
        } else {
            None
        };

        let mut tasks = JoinSet::new();
        tasks.spawn({
            let (listener, core) = (Arc::clone(&listener), Arc::clone(&core));
            async move { listener.accept(core).await }
        });
        tasks.spawn(admin::serve(admin_socket, Arc::clone(&inner)));
        tasks.spawn(upkeep::watch(Arc::clone(&core), data.path().to_owned(), Arc::clone(&certificate)));
        tasks.spawn(upkeep::expire(Arc::clone(&core)));
        if let Some(http_listener) = http_listener {
            tasks.spawn(http::serve(http_listener, Arc::clone(&core)));
        }
        Ok(Self { inner, listener, certificate, quic, http, first_invite, tasks, data })
    }

    /// How clients reach it.
    #[must_use]
    pub fn address(&self) -> RelayAddress {
        self.inner.address()
    }

    /// Where it listens for QUIC.
    #[must_use]
    pub fn quic_addr(&self) -> SocketAddr {
        self.quic
    }

    /// Where it serves HTTP.
    #[must_use]
    pub fn http_addr(&self) -> Option<SocketAddr> {
        self.http
    }

    /// Its data directory.
    #[must_use]
    pub fn data_dir(&self) -> &Path {
        self.data.path()
    }

    /// The invite that was made at the start because there was no account yet.
    #[must_use]
    pub fn first_invite(&self) -> Option<&MadeInvite> {
        self.first_invite.as_ref()
    }

    /// Makes an invite.
    ///
    /// # Errors
    /// [`InviteError`].
    pub async fn create_invite(&self, uses: u32, lifetime: Duration) -> Result<JoinLink, InviteError> {
        self.inner.make_invite(uses, lifetime.as_secs(), false).await.map(|made| made.link)
    }

    /// Serves a connection that the caller carries: TLS over TCP, or a pipe in memory. `exporter` is the value that
    /// device proofs are bound to; it must be one that nobody can choose and that no other connection has.
    ///
    /// # Errors
    /// [`Turned`] away, as a connection over QUIC would be.
    pub fn attach<R, W>(
        &self,
        reader: R,
        writer: W,
        exporter: [u8; 32],
        network: Network,
    ) -> Result<(), Turned>
    where
        R: AsyncRead + Send + Unpin + 'static,
        W: AsyncWrite + Send + Unpin + 'static,
    {
        let core = &self.inner.core;
        let admission = core.gate.admit(network, true, Instant::now())?;
        let link = Link { carrier: Plain::new(), reader, writer, exporter, network };
        tokio::spawn(connection::serve(link, admission, Arc::clone(core)));
        Ok(())
    }

    /// The counters, as `/metrics` shows them.
    #[must_use]
    pub fn metrics(&self) -> String {
        self.inner.core.metrics.encode()
    }

    /// Reads the certificate files again.
    pub fn reload_certificate(&self) {
        upkeep::reload(&self.certificate);
    }

    /// Pends until the store can no longer keep its promises; the relay must then be stopped and started afresh.
    pub async fn broken(&self) {
        self.inner.core.broken.cancelled().await;
    }

    /// Stops: no new connections, answers on their way are sent, every client is told, the store is closed (R59).
    pub async fn shutdown(mut self) {
        let core = &self.inner.core;
        core.stopping.cancel();
        core.bus.end_all(subrosa_protocol::frames::CloseReason::ShuttingDown);
        let patience = Instant::now() + Duration::from_secs(core.limits.shutdown_s);
        while core.gate.total() > 0 && Instant::now() < patience {
            sleep(Duration::from_millis(10)).await;
        }
        self.listener.close(LAST_PACKETS).await;
        match timeout(STORE_CLOSE, core.store.close()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "the store did not close well"),
            Err(_) => tracing::error!("the store did not close in time"),
        }
        self.tasks.shutdown().await;
        let _ = std::fs::remove_file(self.data.file(crate::data_dir::ADMIN_SOCKET));
    }
}

fn new_core(config: &Config, store: Arc<dyn Store>, opaque: RelayOpaque) -> Core {
    let limits = config.limits.clone();
    let metrics = Arc::new(Metrics::new());
    let buffers = Budget::new(limits.buffer_bytes / 2);
    let bus = InProcess::new(
        limits.push_queue,
        limits.connections_per_device,
        limits.connections_per_account,
        Arc::clone(&buffers),
        metrics.pushes_dropped.clone(),
    );
    Core {
        store,
        bus: Arc::new(bus),
        opaque,
        rates: Rates::new(&limits),
        gate: Gate::new(&limits),
        windows: Budget::new(limits.buffer_bytes / 2),
        buffers,
        objects: Budget::new(limits.object_bytes),
        held: crate::rooms::held::AllHeld::default(),
        rooms: crate::rooms::Rooms::default(),
        // Checked when the relay started.
        lobby: config.lobby_slug().ok().flatten(),
        policy: config.registration.into(),
        metrics,
        storage_full: false.into(),
        stopping: CancellationToken::new(),
        broken: CancellationToken::new(),
        limits,
    }
}

fn sqlite_options(limits: &Limits) -> SqliteOptions {
    let days = |days: u64| DAY.saturating_mul(u32::try_from(days).unwrap_or(u32::MAX));
    SqliteOptions {
        mailbox_envelopes: limits.mailbox_envelopes,
        mailbox_bytes: limits.mailbox_bytes,
        envelope_lifetime: days(limits.mailbox_days),
        id_memory: days(limits.envelope_ids_days),
        room_entries: limits.room_entries,
        room_bytes: limits.room_bytes,
        room_lifetime: days(limits.room_days),
        rooms_per_account: limits.rooms_per_account,
        ..SqliteOptions::default()
    }
}

/// The keys behind every passphrase: read, or made where nothing depends on them yet.
fn opaque_keys(data: &DataDir, statistics: &Statistics) -> Result<RelayOpaque, StartError> {
    match data.read(OPAQUE_SETUP)? {
        Some(bytes) => {
            let bytes = Zeroizing::new(bytes);
            RelayOpaque::from_bytes(&bytes).map_err(|_| StartError::OpaqueDamaged(data.file(OPAQUE_SETUP)))
        }
        None if statistics.accounts > 0 => Err(StartError::OpaqueMissing(data.file(OPAQUE_SETUP))),
        None => {
            let opaque = RelayOpaque::generate(&mut random::rng());
            data.write(OPAQUE_SETUP, &opaque.to_bytes())?;
            Ok(opaque)
        }
    }
}

/// A machine without IPv6 listens on IPv4 when it was to listen everywhere.
fn without_ipv6(address: SocketAddr, error: io::Error) -> io::Result<std::net::UdpSocket> {
    let everywhere = address.is_ipv6() && address.ip().is_unspecified();
    if everywhere && error.kind() != io::ErrorKind::AddrInUse {
        bind((std::net::Ipv4Addr::UNSPECIFIED, address.port()).into())
    } else {
        Err(error)
    }
}
