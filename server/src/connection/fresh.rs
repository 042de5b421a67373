//! The hellos: which version is spoken, and the nonce that proofs on this connection cover.

use std::{sync::Arc, time::Duration};

use subrosa_protocol::{
    ErrorCode,
    frames::{ClientFirst, ErrorFrame, RelayFirst, RelayHello},
    version::{FEATURES, negotiate},
};
use tokio::time::{Instant, timeout_at};

use super::{
    Carrier, End, Link, Wire,
    channel::{Channel, Turn},
    unauthenticated::Unauthenticated,
};
use crate::{core::Core, handlers::register, listener::Admission, listener::Network, random};

/// A connection that has said nothing yet.
pub(super) struct Fresh<C: Carrier> {
    wire: Wire<C>,
    exporter: [u8; 32],
    network: Network,
}

impl<C: Carrier> Fresh<C> {
    pub(super) fn new(link: Link<C>, admission: Admission, core: Arc<Core>) -> Self {
        let Link { carrier, reader, writer, exporter, network } = link;
        let channel = Channel::new(reader, writer, core.buffers.share());
        Self { wire: Wire { carrier, channel, core, admission }, exporter, network }
    }

    /// Through all states to the end.
    pub(super) async fn serve(mut self) -> (Wire<C>, End) {
        let deadline = Instant::now() + Duration::from_secs(self.wire.core.limits.unauthenticated_timeout_s);
        match self.greet(deadline).await {
            Ok(nonce) => {
                let proofs = register::Channel { exporter: self.exporter, nonce };
                Unauthenticated::new(self.wire, proofs, self.network, deadline).serve().await
            }
            Err(end) => (self.wire, end),
        }
    }

    async fn greet(&mut self, deadline: Instant) -> Result<[u8; 32], End> {
        let frame = self.wire.next_frame(deadline).await?;
        let refuse = |code, detail| RelayFirst::Error(ErrorFrame::new(code, detail)).to_raw(frame.id);
        let hello = match ClientFirst::from_raw(&frame) {
            Ok(ClientFirst::Hello(hello)) => hello,
            Err(_) => {
                let error = refuse(ErrorCode::BadRequest, "the first frame must be a hello");
                return Err(self.last(error));
            }
        };
        let Ok(version) = negotiate(hello.min_version, hello.max_version) else {
            let error = refuse(ErrorCode::UnsupportedVersion, "no protocol version in common");
            return Err(self.last(error));
        };
        let nonce = random::bytes();
        let registration = self.wire.core.policy;
        let features = hello.features & FEATURES;
        let answer = RelayFirst::Hello(RelayHello { version, features, nonce, registration });
        if let Ok(frame) = answer.to_raw(frame.id) {
            self.wire.channel.send(&frame);
        }
        Ok(nonce)
    }

    fn last(&mut self, frame: Result<subrosa_protocol::RawFrame, subrosa_protocol::FrameError>) -> End {
        if let Ok(frame) = frame {
            self.wire.channel.send(&frame);
        }
        End::Answered
    }
}

impl<C: Carrier> Wire<C> {
    /// The next frame before `deadline`; what is queued is written meanwhile. For a connection that has not
    /// authenticated, which has nothing else to wait for.
    pub(super) async fn next_frame(&mut self, deadline: Instant) -> Result<subrosa_protocol::RawFrame, End> {
        use subrosa_protocol::frames::CloseReason;
        let half_frame = Duration::from_secs(self.core.limits.half_frame_timeout_s);
        let stopping = self.core.stopping.clone();
        loop {
            if let Some(frame) = self.channel.next_frame(Instant::now())? {
                return Ok(frame);
            }
            let until = match self.channel.half_since() {
                Some(since) => deadline.min(since + half_frame),
                None => deadline,
            };
            let may_read = !self.channel.is_clogged();
            tokio::select! {
                biased;
                () = stopping.cancelled() => return Err(End::Closing(CloseReason::ShuttingDown)),
                turn = timeout_at(until, self.channel.turn(may_read)) => match turn {
                    Err(_) => return Err(End::Closing(CloseReason::Idle)),
                    Ok(Ok(Turn::Ended) | Err(_)) => return Err(End::Gone),
                    Ok(Ok(_)) => {}
                },
            }
        }
    }
}
