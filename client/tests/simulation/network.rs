//! What lies between the machines and the relay: connections, frames on their way, time.

use subrosa_client::core::Input;
use subrosa_protocol::{
    RawFrame,
    frames::{FromRelay, PreAuthRequest, Push, Request, Response},
};

use crate::{
    device::Fate,
    relay::{EXPORTER, NONCE, Place},
    world::World,
};

/// The longest wait before a machine dials again, in ms.
const REDIAL_MS: u64 = 30_000;

impl World {
    /// The connection is gone, with what was on its way.
    pub fn lose_connection(&mut self, at: usize) {
        let wait = 250 + self.dice.below(REDIAL_MS);
        self.devices[at].newer_requests.clear();
        let net = &mut self.devices[at].net;
        net.up = false;
        net.authenticated = false;
        net.lost_push = false;
        net.to_relay.clear();
        net.to_device.clear();
        net.dial_at = self.now + wait;
    }

    /// The machine is told that its connection is gone.
    pub fn go_down(&mut self, at: usize, reason: &str) {
        self.lose_connection(at);
        self.counts.breaks += 1;
        self.feed(at, Input::Down { reason: reason.to_owned(), retry_in_ms: 1_000 });
    }

    /// A connection breaks: of what was on its way to the relay a part came through, of the answers nothing.
    pub fn break_connection(&mut self, at: usize) {
        let waiting = self.devices[at].net.to_relay.len();
        for _ in 0..self.dice.index(waiting + 1) {
            if let Some(frame) = self.devices[at].net.to_relay.pop_front() {
                self.relay_answers(at, &frame);
            }
        }
        self.go_down(at, "broken");
    }

    pub fn connect(&mut self, at: usize) {
        self.trace.line(|| format!("{} dials", self.devices[at].name()));
        self.feed(at, Input::Connecting);
        if !self.devices[at].is_running() || self.devices[at].net.blocked {
            return;
        }
        if self.devices[at].net.cut_off {
            return self.go_down(at, "no way to the relay");
        }
        self.devices[at].net.up = true;
        self.feed(at, Input::Up { exporter: EXPORTER, nonce: NONCE, round_trip_ms: 20 });
    }

    /// The relay takes one frame of a device and answers.
    pub fn relay_takes(&mut self, at: usize) {
        let Some(frame) = self.devices[at].net.to_relay.pop_front() else { return };
        if let Some(response) = self.relay_answers(at, &frame) {
            self.devices[at].net.to_device.push_back(FromRelay::Response(frame.id, response));
        }
    }

    /// What the relay does with a frame is durable when this returns; the answer may still be lost.
    pub fn relay_answers(&mut self, at: usize, frame: &RawFrame) -> Option<Response> {
        self.relay.now = self.now;
        let place = self.devices[at].place.clone();
        if let Ok(PreAuthRequest::Authenticate(proof)) = PreAuthRequest::from_raw(frame) {
            let response = self.relay.authenticate(&proof);
            self.devices[at].net.authenticated = matches!(response, Response::Authenticated(_));
            self.trace.line(|| format!("relay to {}{}: {response:?}", place.0, place.1));
            return Some(response);
        }
        if !self.relay.devices.contains_key(&place) {
            return None;
        }
        assert!(self.devices[at].net.authenticated, "step: {place:?} asked before it was authenticated");
        let request = Request::from_raw(frame).unwrap();
        self.trace.line(|| format!("relay from {}{} [{}]: {}", place.0, place.1, frame.id, brief(&request)));
        let acked = if let Request::MailboxAck(ack) = &request { ack.up_to } else { 0 };
        let (response, pushes) = self.relay.request(&place, request);
        let device = &mut self.devices[at];
        device.acked = device.acked.max(acked);
        let refused = matches!(response, Response::Error(_) | Response::StaleDeviceList(_));
        device.newer_seen |= !refused && device.newer_requests.contains(&frame.id);
        self.push(pushes);
        Some(response)
    }

    pub fn push(&mut self, pushes: Vec<(Place, Push)>) {
        for (place, push) in pushes {
            for device in &mut self.devices {
                if device.place == place && device.net.authenticated {
                    device.net.to_device.push_back(FromRelay::Push(push.clone()));
                }
            }
        }
    }

    /// One frame comes to a device, or several that were waiting.
    pub fn device_takes(&mut self, at: usize) {
        let max = if self.dice.once_in(4) { 8 } else { 1 };
        let inputs = self.waiting_frames(at, max);
        self.feed_all(at, inputs);
    }

    /// Takes the next frames that have come to a device, at most `max`.
    pub fn waiting_frames(&mut self, at: usize, max: usize) -> Vec<Input> {
        let net = &mut self.devices[at].net;
        let count = if net.stalled_until > self.now { 0 } else { net.to_device.len().min(max) };
        let frames: Vec<_> = net.to_device.drain(..count).collect();
        for frame in &frames {
            self.trace.line(|| match frame {
                FromRelay::Response(id, _) => format!("{} gets answer {id}", self.devices[at].name()),
                FromRelay::Push(push) => {
                    format!("{} gets push {}", self.devices[at].name(), brief_push(push))
                }
                FromRelay::Skipped(_) => String::new(),
            });
        }
        frames.into_iter().map(Input::Frame).collect()
    }

    /// Moves one frame somewhere; whether there was one.
    pub fn progress(&mut self) -> bool {
        let now = self.now;
        let mut ways = Vec::with_capacity(2 * self.devices.len());
        for (at, device) in self.devices.iter().enumerate() {
            if device.net.stalled_until > now || !device.is_running() {
                continue;
            }
            if !device.net.to_relay.is_empty() {
                ways.push((at, true));
            }
            if !device.net.to_device.is_empty() {
                ways.push((at, false));
            }
        }
        match self.dice.pick(&ways) {
            Some((at, true)) => self.relay_takes(at),
            Some((at, false)) => self.device_takes(at),
            None => return false,
        }
        true
    }

    /// What is due next by the clock, and when.
    pub fn due(&self) -> Option<(u64, usize)> {
        let due = self.devices.iter().enumerate().filter_map(|(at, device)| {
            let Some(core) = device.core() else {
                return (device.fate == Fate::Active).then_some((device.restart_at, at));
            };
            let wake = core.wake_at().map(|wake| wake.saturating_add_signed(-device.running));
            let dial = (!device.net.up && !device.net.blocked).then_some(device.net.dial_at);
            let stalled = device.net.stalled_until;
            let stalled = (device.net.up && stalled > self.now).then_some(stalled);
            Some(([wake, dial, stalled].into_iter().flatten().min()?, at))
        });
        due.min()
    }

    /// Goes to what is due next, if that is before `until`, and does it; whether there was something.
    pub fn pass_time(&mut self, until: u64) -> bool {
        let Some((when, at)) = self.due().filter(|(when, _)| *when <= until) else { return false };
        self.now = self.now.max(when);
        let device = &self.devices[at];
        if !device.is_running() {
            self.restart(at);
        } else if !device.net.up && !device.net.blocked && device.net.dial_at <= self.now {
            self.connect(at);
        } else {
            self.feed(at, Input::Wake);
        }
        true
    }
}

fn brief(request: &Request) -> String {
    match request {
        Request::EnvelopeSend(send) => {
            let ids: Vec<_> = send.envelopes.iter().map(|e| e.id.to_string()[..8].to_owned()).collect();
            let (version, generation) = (send.list_version, send.generation);
            format!("send to {}{} {ids:?} list {version} generation {generation}", send.to, send.device)
        }
        Request::PrekeyUpload(upload) => {
            format!("upload of {} and {}", upload.one_time.iter().count(), upload.kem.iter().count())
        }
        Request::DeviceListPublish(_) => "publish".to_owned(),
        other => format!("{other:?}"),
    }
}

fn brief_push(push: &Push) -> String {
    match push {
        Push::Deliver(envelope) => format!("{} {}", envelope.seq, &envelope.id.to_string()[..8]),
        other => format!("{other:?}"),
    }
}
