//! What goes into the machine and what comes out.

use subrosa_protocol::{RawFrame, frames::FromRelay};

use crate::api::{ApiError, Event, Reply, Request};

/// Something that happened outside.
#[derive(Debug)]
// It lives from where it is made to where it is used: boxing it would cost more than it saves.
#[allow(clippy::large_enum_variant)]
pub enum Input {
    /// A front end asks; the answer carries the same token.
    Request {
        /// Chosen by the caller, unique among the requests that are not answered yet.
        token: u64,
        /// What is asked.
        request: Request,
    },
    /// The relay is being dialled.
    Connecting,
    /// A connection is up and hellos are exchanged.
    Up {
        /// The TLS exporter value of this connection.
        exporter: [u8; 32],
        /// The relay's nonce.
        nonce: [u8; 32],
        /// Milliseconds of a round trip.
        round_trip_ms: u32,
    },
    /// A frame came.
    Frame(FromRelay),
    /// The round trip time in milliseconds.
    RoundTrip(u32),
    /// The connection broke or could not be made; it is dialled again by itself.
    Down {
        /// Why.
        reason: String,
        /// Milliseconds until then.
        retry_in_ms: u64,
    },
    /// The connection cannot be made before a person acts.
    Blocked(ApiError),
    /// It is [`super::Core::wake_at`].
    Wake,
}

/// Something to be done outside, in this order.
#[derive(Debug)]
pub enum Effect {
    /// Send this frame on the connection that is up.
    Send(RawFrame),
    /// Drop the connection and dial again after the usual wait.
    Drop,
    /// Dial at once.
    Reconnect,
    /// Drop the connection and do not dial again by itself.
    Block,
    /// Answer a request.
    Reply {
        /// The request's token.
        token: u64,
        /// The answer.
        result: Result<Reply, ApiError>,
    },
    /// Tell everybody who listens. What is told is durable.
    Event(Event),
    /// End the process that owns the profile.
    Shutdown,
}
