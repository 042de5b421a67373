//! What a connection needs of whatever carries it, so that QUIC, TLS over TCP and a pipe in memory are the same code.

use std::marker::PhantomData;

use tokio::io::{AsyncRead, AsyncWrite};

use crate::listener::Network;

/// What carries a session stream.
pub trait Carrier: Send + Sync + 'static {
    /// Bytes from the client.
    type Reader: AsyncRead + Send + Unpin + 'static;
    /// Bytes to the client.
    type Writer: AsyncWrite + Send + Unpin + 'static;

    /// The client has authenticated: it may have more in flight now (R5).
    fn raise_limits(&self);

    /// Ends the transport once the client has everything that was written, or does not take it. `writer` was shut down.
    fn finish(&self, writer: Self::Writer) -> impl Future<Output = ()> + Send;
}

/// A session stream and what belongs to it.
pub struct Link<C: Carrier> {
    /// What carries it.
    pub carrier: C,
    /// Bytes from the client.
    pub reader: C::Reader,
    /// Bytes to the client.
    pub writer: C::Writer,
    /// The TLS exporter value of this very connection, under
    /// [`subrosa_protocol::version::EXPORTER_LABEL`]: what device proofs are bound to.
    pub exporter: [u8; 32],
    /// Where it comes from.
    pub network: Network,
}

/// A carrier that is only a reader and a writer: a pipe, or a TLS stream over TCP.
pub struct Plain<R, W>(PhantomData<fn() -> (R, W)>);

impl<R, W> Plain<R, W> {
    /// A carrier for `R` and `W`.
    #[must_use]
    pub const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<R, W> Default for Plain<R, W> {
    fn default() -> Self {
        Self::new()
    }
}

impl<R, W> Carrier for Plain<R, W>
where
    R: AsyncRead + Send + Unpin + 'static,
    W: AsyncWrite + Send + Unpin + 'static,
{
    type Reader = R;
    type Writer = W;

    fn raise_limits(&self) {}

    async fn finish(&self, _: W) {}
}
