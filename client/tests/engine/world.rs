//! Machines and a relay, one clock, one source of randomness: everything that happens is a function of the seed.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    path::PathBuf,
};

use rand_core::Rng;
use serde_bytes::ByteArray;
use subrosa_client::{
    api::{
        ApiError, Contact, Event, EventBody, EventKind, Message, MessageKind, MessageState, Reply, Request,
        SendMessage, SendResult, Status, WaitFor,
    },
    core::{Core, Effect, Facts, Input},
    store::{Identity, IdentityKeys, Progress, Store, StoreError, StoredRoom, Tx},
};
use subrosa_crypto::{
    account::AccountSecret,
    device::DeviceSecrets,
    prekeys::generate_prekey,
    verify::{
        device_list::{DeviceList, SignedDeviceList},
        prekey::PrekeyKind,
    },
};
use subrosa_protocol::{
    DeviceId, RawFrame, SafeText, Username,
    frames::{FromRelay, PreAuthRequest, Push, Request as Frame, Response},
};
use subrosa_rooms::{Me, RoomError};

use crate::{
    relay::{EXPORTER, NONCE, Place, Relay},
    rng::SeededRng,
};

pub const KEY: [u8; 32] = [3; 32];
pub const START: u64 = 1_800_000_000_000;

pub struct Client {
    pub core: Option<Core>,
    /// What a program left that is not running, if its store is in memory.
    left: Option<Store>,
    pub path: PathBuf,
    pub place: Place,
    pub account: AccountSecret,
    inbox: VecDeque<FromRelay>,
    pub connected: bool,
    authenticated: bool,
    pub blocked: bool,
    replies: HashMap<u64, Result<Reply, ApiError>>,
    pub events: Vec<Event>,
    token: u64,
    /// How many inputs until the machine crashes: the one before it takes effect on the store only.
    pub crash_in: Option<usize>,
    pub sent: Vec<RawFrame>,
    /// What the relay says does not arrive.
    pub deaf: bool,
    /// The machine may have something to say to its person. Otherwise that means that a step failed.
    pub notices_expected: bool,
}

pub struct World {
    pub relay: Relay,
    pub clients: BTreeMap<String, Client>,
    pub now: u64,
    pub rng: SeededRng,
    folder: tempfile::TempDir,
    /// Pushes to a client are handed over in reverse order of what is waiting.
    pub reorder: bool,
    /// All that is waiting for a client is handed over at once.
    pub grouped: bool,
    /// Stores are in memory from now on, and outlive the programs.
    pub in_memory: bool,
}

pub fn name(text: &str) -> Username {
    Username::new(text).unwrap()
}

pub fn device(number: u32) -> DeviceId {
    DeviceId::new(number).unwrap()
}

impl Client {
    /// Frames that were not handed over yet.
    pub fn waiting(&self) -> usize {
        self.inbox.len()
    }

    /// The store, also of a program that does not run, if it is in memory.
    pub fn store(&self) -> Option<&Store> {
        self.core.as_ref().map(Core::store).or(self.left.as_ref())
    }

    /// Doubles a push that is waiting, or swaps it with the next one; whether there was one.
    pub fn disturb(&mut self, at: usize, double: bool) -> bool {
        let push = |frame: Option<&FromRelay>| matches!(frame, Some(FromRelay::Push(_)));
        if !push(self.inbox.get(at)) || !double && !push(self.inbox.get(at + 1)) {
            return false;
        }
        if let (true, Some(FromRelay::Push(again))) = (double, self.inbox.get(at)) {
            let again = FromRelay::Push(again.clone());
            self.inbox.push_back(again);
        } else {
            self.inbox.swap(at, at + 1);
        }
        true
    }

    /// Takes them, to be handed over some other way.
    pub fn take_waiting(&mut self) -> Vec<Input> {
        self.inbox.drain(..).map(Input::Frame).collect()
    }
}

impl World {
    pub fn new(seed: u64) -> Self {
        Self {
            relay: Relay::new(),
            clients: BTreeMap::new(),
            now: START,
            rng: SeededRng::new(seed),
            folder: tempfile::tempdir().unwrap(),
            reorder: false,
            grouped: false,
            in_memory: false,
        }
    }

    /// A world in which these accounts are registered and connected.
    pub fn with(seed: u64, accounts: &[&str]) -> Self {
        let mut world = Self::new(seed);
        for account in accounts {
            world.register(account);
            world.connect(account);
        }
        world.settle();
        world
    }

    /// A world in which alice and bob have accepted each other, with all receipts given.
    pub fn friends(seed: u64) -> Self {
        let mut world = Self::with(seed, &["alice", "bob"]);
        world.send("alice", "bob", "hello bob");
        world.settle();
        world.send("bob", "alice", "hello alice");
        world.settle();
        for client in world.clients.values_mut() {
            client.events.clear();
        }
        world
    }

    pub fn register(&mut self, account: &str) {
        let (secret, _) = AccountSecret::generate(&mut self.rng);
        let secrets = DeviceSecrets::generate(&mut self.rng);
        let list = DeviceList {
            account: account.to_owned(),
            account_key: secret.public(),
            version: 1,
            prev_hash: [0; 32],
            next_device_id: 2,
            devices: vec![secrets.entry(1, self.now)],
        };
        let signed = secret.sign_device_list(&list).unwrap();
        self.relay.lists.insert(account.to_owned(), vec![signed.clone()]);
        self.install(account, account, 1, secret, secrets, &signed);
    }

    /// A further device of an account, known to the test as `handle`.
    pub fn login(&mut self, account: &str, handle: &str) {
        let secret = AccountSecret::from_bytes(&self.clients[account].account.to_bytes()[..]).unwrap();
        let secrets = DeviceSecrets::generate(&mut self.rng);
        let before = self.relay.newest(account).unwrap();
        let number = before.next_device_id;
        let mut next = DeviceList {
            version: before.version + 1,
            prev_hash: before.hash(),
            next_device_id: number + 1,
            ..before
        };
        next.devices.push(secrets.entry(number, self.now));
        let signed = secret.sign_device_list(&next).unwrap();
        let pushes = self.relay.publish(account, signed.clone());
        self.install(account, handle, number, secret, secrets, &signed);
        self.push(pushes);
        self.connect(handle);
    }

    fn install(
        &mut self,
        account: &str,
        handle: &str,
        number: u32,
        secret: AccountSecret,
        secrets: DeviceSecrets,
        list: &SignedDeviceList,
    ) {
        let path = self.folder.path().join(format!("{handle}.db"));
        let place = (account.to_owned(), number);
        let store = if self.in_memory { Store::in_memory() } else { Store::open_at(&path, &KEY) };
        let mut store = store.unwrap();
        let keys = AccountSecret::from_bytes(&secret.to_bytes()[..]).unwrap();
        let (now, rng, relay) = (self.now, &mut self.rng, &mut self.relay);
        let device_of = relay.device(account, number);
        store
            .transaction(|tx| {
                let mut publish = |kind, count: u32| -> Vec<Vec<u8>> {
                    let first = tx.take_prekey_ids(count).unwrap();
                    (first..first + count)
                        .map(|id| {
                            let (prekey, public) =
                                generate_prekey(kind, id, &secrets, account, number, now, rng);
                            tx.put_prekey(&prekey, &public).unwrap();
                            tx.prekeys_published(kind, &[id]).unwrap();
                            public.to_bytes()
                        })
                        .collect()
                };
                let ec = |bytes: &Vec<u8>| ByteArray::new(bytes.as_slice().try_into().unwrap());
                let kem = |bytes: &Vec<u8>| ByteArray::new(bytes.as_slice().try_into().unwrap());
                device_of.signed = Some(ec(&publish(PrekeyKind::SignedEc, 1)[0]));
                device_of.last_resort = Some(kem(&publish(PrekeyKind::LastResortKem, 1)[0]));
                device_of.one_time.extend(publish(PrekeyKind::OneTimeEc, 30).iter().map(ec));
                device_of.kem.extend(publish(PrekeyKind::OneTimeKem, 30).iter().map(kem));
                tx.put_device_list(&name(account), list, now)?;
                tx.put_identity(&Identity {
                    account: name(account),
                    display_name: SafeText::name(account),
                    relay: "rosa://relay.example".parse().unwrap(),
                    account_key: keys.public(),
                    device: device(number),
                    keys: Some(IdentityKeys { account: keys, device: secrets }),
                    progress: Progress::Ready,
                })
            })
            .unwrap();
        let client = Client {
            core: Some(Core::new(store, Facts::default()).unwrap()),
            left: None,
            path,
            place,
            account: secret,
            inbox: VecDeque::new(),
            connected: false,
            authenticated: false,
            blocked: false,
            replies: HashMap::new(),
            events: Vec::new(),
            token: 0,
            crash_in: None,
            sent: Vec::new(),
            deaf: false,
            notices_expected: false,
        };
        self.clients.insert(handle.to_owned(), client);
    }

    pub fn client(&mut self, handle: &str) -> &mut Client {
        self.clients.get_mut(handle).unwrap()
    }

    // --- connections ---------------------------------------------------------------------------------------

    pub fn connect(&mut self, handle: &str) {
        let place = self.clients[handle].place.clone();
        self.relay.rooms.held.remove(&place);
        let client = self.client(handle);
        client.connected = true;
        client.inbox.clear();
        self.feed(handle, Input::Connecting);
        self.feed(handle, Input::Up { exporter: EXPORTER, nonce: NONCE, round_trip_ms: 20 });
    }

    pub fn disconnect(&mut self, handle: &str) {
        let client = self.client(handle);
        client.connected = false;
        client.authenticated = false;
        client.inbox.clear();
        if client.core.is_some() {
            self.feed(handle, Input::Down { reason: "test".into(), retry_in_ms: 1000 });
        }
    }

    /// The program dies between two instructions; the store is what it is.
    pub fn crash(&mut self, handle: &str) {
        let in_memory = self.in_memory;
        let client = self.client(handle);
        let left = client.core.take().map(Core::into_store);
        client.left = left.filter(|_| in_memory);
        client.connected = false;
        client.authenticated = false;
        client.inbox.clear();
    }

    /// Starts a program again and connects it.
    pub fn restart(&mut self, handle: &str) {
        self.start(handle);
        self.connect(handle);
    }

    fn start(&mut self, handle: &str) {
        let client = self.client(handle);
        let store = client.left.take();
        let store = store.unwrap_or_else(|| Store::open_at(&client.path, &KEY).unwrap());
        client.core = Some(Core::new(store, Facts::default()).unwrap());
        client.blocked = false;
        client.connected = false;
        client.authenticated = false;
        client.inbox.clear();
    }

    /// A copy of a client's store as it is now, in order.
    pub fn copy_store(&mut self, handle: &str) -> Vec<u8> {
        let client = self.client(handle);
        client.core.take().unwrap().into_store().close().unwrap();
        let bytes = std::fs::read(&client.path).unwrap();
        client.connected = false;
        client.authenticated = false;
        client.inbox.clear();
        self.restart(handle);
        bytes
    }

    pub fn restore_store(&mut self, handle: &str, bytes: &[u8]) {
        self.restore_store_without_connection(handle, bytes);
        self.connect(handle);
    }

    pub fn restore_store_without_connection(&mut self, handle: &str, bytes: &[u8]) {
        let client = self.client(handle);
        client.core.take().unwrap().into_store().close().unwrap();
        std::fs::write(&client.path, bytes).unwrap();
        self.start(handle);
    }

    // --- running -------------------------------------------------------------------------------------------

    pub fn feed(&mut self, handle: &str, input: Input) {
        self.feed_all(handle, vec![input]);
    }

    /// Several inputs at once.
    pub fn feed_all(&mut self, handle: &str, inputs: Vec<Input>) {
        let now = self.now;
        let client = self.clients.get_mut(handle).unwrap();
        let Some(core) = client.core.as_mut() else { return };
        let effects = core.handle_all(inputs, now, &mut self.rng);
        if let Some(left) = client.crash_in.as_mut() {
            if *left == 0 {
                client.crash_in = None;
                self.crash(handle);
                return;
            }
            *left -= 1;
        }
        for effect in effects {
            self.carry_out(handle, effect);
        }
    }

    fn carry_out(&mut self, handle: &str, effect: Effect) {
        let client = self.clients.get_mut(handle).unwrap();
        match effect {
            Effect::Send(frame) => self.hand_to_relay(handle, &frame),
            Effect::Drop | Effect::Block => {
                client.blocked |= matches!(effect, Effect::Block);
                client.connected = false;
                client.authenticated = false;
                client.inbox.clear();
            }
            Effect::Reconnect => client.blocked = false,
            Effect::Reply { token, result } => {
                assert!(client.replies.insert(token, result).is_none(), "answered twice");
            }
            Effect::Event(event) => {
                let body = &event.body;
                let notice = matches!(body, EventBody::ServerNotice { .. } | EventBody::ProfileFault { .. });
                assert!(client.notices_expected || !notice, "a step failed: {event:?}");
                client.events.push(event);
            }
            Effect::Shutdown => {}
        }
    }

    fn hand_to_relay(&mut self, handle: &str, frame: &RawFrame) {
        let client = self.clients.get_mut(handle).unwrap();
        client.sent.push(frame.clone());
        if !client.connected {
            return;
        }
        self.relay.now = self.now;
        if let Ok(PreAuthRequest::Authenticate(proof)) = PreAuthRequest::from_raw(frame) {
            let response = self.relay.authenticate(&proof);
            client.authenticated = matches!(response, Response::Authenticated(_));
            client.inbox.push_back(FromRelay::Response(frame.id, response));
            return;
        }
        assert!(client.authenticated, "asked before it was authenticated");
        let request = Frame::from_raw(frame).unwrap();
        let place = client.place.clone();
        let (response, pushes) = self.relay.request(&place, request);
        let client = self.client(handle);
        if !client.deaf {
            client.inbox.push_back(FromRelay::Response(frame.id, response));
        }
        self.push(pushes);
    }

    pub fn push(&mut self, pushes: Vec<(Place, Push)>) {
        for (place, push) in pushes {
            for client in self.clients.values_mut() {
                if client.place == place && client.authenticated {
                    client.inbox.push_back(FromRelay::Push(push.clone()));
                }
            }
        }
    }

    /// Hands over one frame somewhere; whether there was one.
    pub fn step(&mut self) -> bool {
        let waiting = self.clients.iter().find(|(_, c)| !c.inbox.is_empty() && c.core.is_some());
        let Some(handle) = waiting.map(|(handle, _)| handle.clone()) else { return false };
        let reorder = self.reorder;
        if self.grouped && !reorder {
            let waiting = self.client(&handle).take_waiting();
            self.feed_all(&handle, waiting);
            return true;
        }
        let client = self.client(&handle);
        let push = |frame: &FromRelay| matches!(frame, FromRelay::Push(_));
        let frame = if reorder && client.inbox.iter().all(push) {
            client.inbox.pop_back()
        } else {
            client.inbox.pop_front()
        };
        self.feed(&handle, Input::Frame(frame.unwrap()));
        true
    }

    /// Hands over some of the frames that wait for a client that chance picks; whether there were any.
    pub fn step_anywhere(&mut self) -> bool {
        let ready = |client: &&Client| !client.inbox.is_empty() && client.core.is_some();
        let count = self.clients.values().filter(ready).count();
        if count == 0 {
            return false;
        }
        let at = self.rng.next_u32() as usize % count;
        let picked = self.clients.iter().filter(|(_, client)| ready(client)).nth(at);
        let handle = picked.map(|(handle, _)| handle.clone()).unwrap();
        let max = 1 + self.rng.next_u32() as usize % 4;
        let client = self.client(&handle);
        let count = client.inbox.len().min(max);
        let inputs = client.inbox.drain(..count).map(Input::Frame).collect();
        self.feed_all(&handle, inputs);
        true
    }

    /// Changes a store while its program does not run. The program runs again afterwards, without a connection.
    pub fn with_store<T>(
        &mut self,
        handle: &str,
        change: impl FnOnce(&Tx<'_>, Me<'_>, &mut SeededRng) -> Result<T, RoomError>,
    ) -> T {
        let client = self.clients.get_mut(handle).unwrap();
        client.connected = false;
        client.authenticated = false;
        client.inbox.clear();
        let mut store = client.core.take().unwrap().into_store();
        let identity = store.read(|tx| tx.identity()).unwrap().unwrap();
        let keys = identity.keys.as_ref().unwrap();
        let me = Me {
            account: identity.account.as_str(),
            account_key: identity.account_key,
            device: identity.device.get(),
            secrets: &keys.device,
        };
        let rng = &mut self.rng;
        let mut failed = None;
        let done = store.transaction(|tx| match change(tx, me, rng) {
            Ok(done) => Ok(done),
            Err(error) => {
                failed = Some(format!("{error:?}"));
                Err(StoreError::Corrupt("test"))
            }
        });
        let done = done.unwrap_or_else(|_| panic!("{failed:?}"));
        let client = self.clients.get_mut(handle).unwrap();
        client.core = Some(Core::new(store, Facts::default()).unwrap());
        done
    }

    /// A room as a device has it.
    pub fn peek_room(&self, handle: &str, room: subrosa_protocol::RoomId) -> Option<StoredRoom> {
        self.clients[handle].store()?.read(|tx| tx.room(room)).unwrap()
    }

    /// Hands over the next frame that is waiting for a client.
    pub fn step_of(&mut self, handle: &str) {
        if let Some(frame) = self.client(handle).inbox.pop_front() {
            self.feed(handle, Input::Frame(frame));
        }
    }

    /// Lets everything happen that happens within so many milliseconds.
    pub fn run_for(&mut self, ms: u64) {
        let end = self.now + ms;
        for _ in 0..200_000.max(2_000 * self.clients.len()) {
            if self.step() {
                continue;
            }
            let next = self
                .clients
                .iter()
                .filter_map(|(handle, c)| Some((c.core.as_ref()?.wake_at()?, handle.clone())))
                .min();
            match next {
                Some((at, handle)) if at <= end => {
                    self.now = self.now.max(at);
                    self.feed(&handle, Input::Wake);
                }
                _ => {
                    self.now = end;
                    return;
                }
            }
        }
        let last = self.clients.iter().map(|(handle, client)| {
            let sent = client.sent.iter().rev().take(4).map(|frame| format!("{:?}", Frame::from_raw(frame)));
            (handle, client.inbox.len(), client.core.as_ref().map(Core::wake_at), sent.collect::<Vec<_>>())
        });
        panic!("it never comes to rest at {}: {:#?}", self.now, last.collect::<Vec<_>>());
    }

    /// Lets everything happen that happens soon: answers, pushes, receipts.
    pub fn settle(&mut self) {
        self.run_for(5_000);
    }

    // --- front ends ----------------------------------------------------------------------------------------

    pub fn ask_later(&mut self, handle: &str, request: Request) -> u64 {
        let client = self.client(handle);
        client.token += 1;
        let token = client.token;
        self.feed(handle, Input::Request { token, request });
        token
    }

    pub fn answer(&mut self, handle: &str, token: u64) -> Option<Result<Reply, ApiError>> {
        self.client(handle).replies.remove(&token)
    }

    pub fn ask(&mut self, handle: &str, request: Request) -> Result<Reply, ApiError> {
        let token = self.ask_later(handle, request);
        if let Some(answer) = self.answer(handle, token) {
            return answer;
        }
        self.settle();
        self.answer(handle, token).expect("no answer in time")
    }

    fn message(to: &str, text: &str, wait: WaitFor) -> SendMessage {
        SendMessage {
            to: vec![to.to_owned()],
            text: text.to_owned(),
            reply_to: None,
            key: None,
            wait,
            timeout_ms: None,
        }
    }

    /// Queues a text and returns its id.
    pub fn send(&mut self, handle: &str, to: &str, text: &str) -> String {
        let result = self.try_send(handle, to, text, WaitFor::Queued);
        result.id.unwrap_or_else(|| panic!("{:?}", result.error))
    }

    pub fn try_send(&mut self, handle: &str, to: &str, text: &str, wait: WaitFor) -> SendResult {
        match self.ask(handle, Request::MessageSend(Self::message(to, text, wait))).unwrap() {
            Reply::Sent { mut results } => results.pop().unwrap(),
            other => panic!("{other:?}"),
        }
    }

    pub fn send_later(&mut self, handle: &str, to: &str, text: &str, wait: WaitFor) -> u64 {
        self.ask_later(handle, Request::MessageSend(Self::message(to, text, wait)))
    }

    /// Asks for several texts to be sent, at once. The tokens.
    pub fn send_together(&mut self, handle: &str, to: &str, texts: &[String], wait: WaitFor) -> Vec<u64> {
        let client = self.client(handle);
        let first = client.token + 1;
        client.token += texts.len() as u64;
        let tokens: Vec<u64> = (first..=client.token).collect();
        let ask = |(token, text): (&u64, &String)| Input::Request {
            token: *token,
            request: Request::MessageSend(Self::message(to, text, wait)),
        };
        let inputs = tokens.iter().zip(texts).map(ask).collect();
        self.feed_all(handle, inputs);
        tokens
    }

    pub fn send_with_key(&mut self, handle: &str, to: &str, text: &str, key: &str) -> String {
        let message = SendMessage { key: Some(key.into()), ..Self::message(to, text, WaitFor::Queued) };
        match self.ask(handle, Request::MessageSend(message)).unwrap() {
            Reply::Sent { mut results } => results.pop().unwrap().id.unwrap(),
            other => panic!("{other:?}"),
        }
    }

    pub fn history(&mut self, handle: &str, chat: &str) -> Vec<Message> {
        let mut all: Vec<Message> = Vec::new();
        loop {
            let after = Some(all.last().map_or(0, |line| line.order));
            let request = Request::ChatHistory { chat: chat.into(), before: None, after, limit: 500 };
            match self.ask(handle, request).unwrap() {
                Reply::History(page) => {
                    all.extend(page.messages);
                    if !page.more_after {
                        return all;
                    }
                }
                other => panic!("{other:?}"),
            }
        }
    }

    /// The texts of a chat, as they stand.
    pub fn texts(&mut self, handle: &str, chat: &str) -> Vec<String> {
        let lines = self.history(handle, chat);
        let text = |line: Message| match line.kind {
            MessageKind::Text { text } => Some(text.to_string()),
            _ => None,
        };
        lines.into_iter().filter_map(text).collect()
    }

    /// What a chat shows besides texts.
    pub fn notices(&mut self, handle: &str, chat: &str) -> Vec<MessageKind> {
        let lines = self.history(handle, chat);
        let kinds = lines.into_iter().map(|line| line.kind);
        kinds.filter(|kind| !matches!(kind, MessageKind::Text { .. })).collect()
    }

    pub fn state(&mut self, handle: &str, id: &str) -> MessageState {
        match self.ask(handle, Request::MessageShow { id: id.into() }).unwrap() {
            Reply::Message { message, .. } => message.state,
            other => panic!("{other:?}"),
        }
    }

    pub fn contact(&mut self, handle: &str, account: &str) -> Option<Contact> {
        match self.ask(handle, Request::ContactList {}).unwrap() {
            Reply::Contacts { contacts } => contacts.into_iter().find(|contact| contact.name == account),
            other => panic!("{other:?}"),
        }
    }

    pub fn status(&mut self, handle: &str) -> Status {
        match self.ask(handle, Request::StatusShow {}).unwrap() {
            Reply::Status(status) => *status,
            other => panic!("{other:?}"),
        }
    }

    /// The events of a kind that were told.
    pub fn told(&self, handle: &str, kind: EventKind) -> Vec<EventBody> {
        let events = self.clients[handle].events.iter();
        events.filter(|event| event.body.kind() == kind).map(|event| event.body.clone()).collect()
    }

    /// Looks into a store behind its machine's back.
    pub fn peek<T>(&mut self, handle: &str, look: impl FnOnce(&Tx<'_>) -> T) -> T {
        let client = self.client(handle);
        let path = client.path.clone();
        let store = Store::open_at(&path, &KEY).unwrap();
        store.read(|tx| Ok::<_, StoreError>(look(tx))).unwrap()
    }
}
