//! Envelopes of somebody who means harm: sent by an account of its own, which talks to the relay directly.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use rand_core::Rng as _;
use subrosa_bench::{
    client::{Client, rng},
    person::{Passphrase, Person},
    tls,
};
use subrosa_crypto::sealed;
use subrosa_protocol::{
    BoundedBytes, BoundedVec, DeviceId, EnvelopeId, RelayAddress, Username,
    frames::{EnvelopeSend, FromRelay, OutgoingEnvelope, Request, Response},
};

/// Envelopes in one request.
const AT_ONCE: u64 = 20;

/// Who is flooded.
pub(crate) struct Victim {
    pub(crate) name: Username,
    pub(crate) sealing_key: [u8; 32],
    pub(crate) list_version: u64,
    /// Somebody whom the victim knows: half of the envelopes claim to be from there.
    pub(crate) friend: Username,
}

/// A flood that goes on until it is stopped.
pub(crate) struct Flood {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Flood {
    /// So many envelopes a second: half cannot be opened, half open and hold a message that no session decrypts.
    pub(crate) fn start(relay: &RelayAddress, victim: Victim, each_second: u64) -> Self {
        let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let thread = {
            let (stop, sent, relay) = (Arc::clone(&stop), Arc::clone(&sent), relay.clone());
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(flood(&relay, &victim, each_second, &stop, &sent));
            })
        };
        Self { stop, sent, thread: Some(thread) }
    }

    /// Envelopes that the relay has taken.
    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Ordering::SeqCst)
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = self.thread.take().unwrap().join();
    }
}

async fn flood(relay: &RelayAddress, victim: &Victim, each_second: u64, stop: &AtomicBool, sent: &AtomicU64) {
    let to = relay.authority().parse().unwrap();
    let endpoint = tls::endpoint();
    let person = Person::new("mallory");
    let mut client = Client::connect(&endpoint, to).await;
    person.register(&mut client, &Passphrase::new()).await;
    let (mut client, _) = Client::of(&endpoint, to, &person).await;
    let begun = Instant::now();
    let mut number = 0;
    while !stop.load(Ordering::SeqCst) {
        let due = begun + Duration::from_secs_f64(number as f64 / each_second as f64);
        tokio::time::sleep_until(due.into()).await;
        let envelopes = (number..number + AT_ONCE).map(|number| envelope(victim, number)).collect();
        number += AT_ONCE;
        let request = Request::EnvelopeSend(EnvelopeSend {
            to: victim.name.clone(),
            device: DeviceId::new(1).unwrap(),
            list_version: victim.list_version,
            generation: number,
            envelopes: BoundedVec::new(envelopes).ok().unwrap(),
        });
        client.writer.send(&request).await;
        match client.reader.next().await {
            FromRelay::Response(_, Response::EnvelopeAccepted(_)) => {
                sent.fetch_add(AT_ONCE, Ordering::SeqCst)
            }
            other => panic!("{other:?}"),
        };
    }
}

fn envelope(victim: &Victim, number: u64) -> OutgoingEnvelope {
    let mut rng = rng();
    let mut id = [0; 16];
    rng.fill_bytes(&mut id);
    let mut message = vec![0; 1_200];
    rng.fill_bytes(&mut message);
    let name = victim.name.as_str();
    let sealed = if number.is_multiple_of(2) {
        message
    } else {
        sealed::seal(&victim.sealing_key, name, 1, victim.friend.as_str(), 1, &message, &mut rng).unwrap()
    };
    OutgoingEnvelope { id: EnvelopeId::from_bytes(id), sealed: BoundedBytes::new(sealed).unwrap() }
}
