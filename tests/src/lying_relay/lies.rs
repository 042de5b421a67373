//! What a lying relay says instead of the truth. Each place where something can be said has one hook; without it the
//! truth is told. Hooks are set and taken away while the relay runs.

use std::time::Duration;

use bytes::BytesMut;
use subrosa_protocol::{
    RawFrame,
    frames::{OutgoingEnvelope, PreAuthRequest, Push, RelayFirst, RelayHello, Request, Response},
};

use super::{Place, State};

/// Something that goes out on one connection.
#[derive(Debug, Clone)]
pub enum Say {
    /// These bytes, as they are.
    Bytes(Vec<u8>),
    /// These bytes, one at a time, with a pause before each.
    Slowly(Vec<u8>, Duration),
    /// The end of the connection, with a code and a reason.
    Close(u32, Vec<u8>),
}

impl Say {
    /// A frame.
    pub fn frame(frame: &RawFrame) -> Self {
        let mut bytes = BytesMut::new();
        frame.write_to(&mut bytes).unwrap();
        Self::Bytes(bytes.to_vec())
    }

    /// The answer to the request with this id.
    pub fn answer(id: u32, response: &Response) -> Self {
        Self::frame(&response.to_raw(id).unwrap())
    }

    /// A push.
    pub fn push(push: &Push) -> Self {
        Self::frame(&push.to_raw(0).unwrap())
    }

    /// A hello.
    pub fn hello(hello: RelayHello) -> Self {
        Self::frame(&RelayFirst::Hello(hello).to_raw(0).unwrap())
    }

    /// A frame of any kind and flags with any body, its length as it is.
    pub fn raw(kind: u16, flags: u8, id: u32, body: &[u8]) -> Self {
        let length = u32::try_from(body.len() + 7).unwrap();
        let mut bytes = length.to_le_bytes().to_vec();
        bytes.extend(kind.to_le_bytes());
        bytes.push(flags);
        bytes.extend(id.to_le_bytes());
        bytes.extend(body);
        Self::Bytes(bytes)
    }
}

type OnHello = Box<dyn FnMut(RelayHello) -> Vec<Say> + Send>;
type Before = Box<dyn FnMut(&mut State, u32, &PreAuthRequest, Response) -> Vec<Say> + Send>;
type OnRequest = Box<dyn FnMut(&mut State, &Place, u32, &Request, Response) -> Vec<Say> + Send>;
type Instead = Box<dyn FnMut(&Place, u32, &Request) -> Option<Vec<Say>> + Send>;
type OnPush = Box<dyn FnMut(&Place, Push) -> Vec<Push> + Send>;
type OnStore = Box<dyn FnMut(&Place, &Place, OutgoingEnvelope) -> Vec<(Place, OutgoingEnvelope)> + Send>;

/// The lies that are told now.
#[derive(Default)]
pub struct Lies {
    pub(super) hello: Option<OnHello>,
    pub(super) before: Option<Before>,
    pub(super) request: Option<OnRequest>,
    pub(super) instead: Option<Instead>,
    pub(super) push: Option<OnPush>,
    pub(super) store: Option<OnStore>,
}

impl Lies {
    /// What is said instead of the relay's hello.
    pub fn at_hello(&mut self, lie: impl FnMut(RelayHello) -> Vec<Say> + Send + 'static) {
        self.hello = Some(Box::new(lie));
    }

    /// What is said instead of answers before authentication, and to the proof itself.
    pub fn before(
        &mut self,
        lie: impl FnMut(&mut State, u32, &PreAuthRequest, Response) -> Vec<Say> + Send + 'static,
    ) {
        self.before = Some(Box::new(lie));
    }

    /// What is said instead of the answers to requests; the truth was carried out already.
    pub fn requests(
        &mut self,
        lie: impl FnMut(&mut State, &Place, u32, &Request, Response) -> Vec<Say> + Send + 'static,
    ) {
        self.request = Some(Box::new(lie));
    }

    /// The same, where one answer takes the place of another.
    pub fn answers(
        &mut self,
        mut lie: impl FnMut(&mut State, &Place, &Request, Response) -> Response + Send + 'static,
    ) {
        self.requests(move |state, from, id, request, response| {
            vec![Say::answer(id, &lie(state, from, request, response))]
        });
    }

    /// What is said to a request that is not carried out at all; `None` carries it out.
    pub fn instead(&mut self, lie: impl FnMut(&Place, u32, &Request) -> Option<Vec<Say>> + Send + 'static) {
        self.instead = Some(Box::new(lie));
    }

    /// The same, where a refusal or another answer is given.
    pub fn refuses(&mut self, mut lie: impl FnMut(&Place, &Request) -> Option<Response> + Send + 'static) {
        self.instead(move |from, id, request| Some(vec![Say::answer(id, &lie(from, request)?)]));
    }

    /// What is pushed to a device instead.
    pub fn pushes(&mut self, lie: impl FnMut(&Place, Push) -> Vec<Push> + Send + 'static) {
        self.push = Some(Box::new(lie));
    }

    /// What an accepted envelope becomes: its sender, the mailbox it was for, the envelope; what is stored where.
    pub fn stores(
        &mut self,
        lie: impl FnMut(&Place, &Place, OutgoingEnvelope) -> Vec<(Place, OutgoingEnvelope)> + Send + 'static,
    ) {
        self.store = Some(Box::new(lie));
    }
}
