//! A person with a real engine in this process, over real QUIC. The store is opened with a raw key, without a passphrase:
//! no test here is about that, and every one would wait for its Argon2.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, OnceLock},
    time::{Duration, Instant},
};

use subrosa_client::{
    Engine, Handle,
    api::{
        ApiError, ConnectionState, Contact, Event, EventBody, EventKind, Kind, Message, MessageKind,
        MessageState, Reply, Request, SendMessage, SendResult, Status, StreamItem, WaitFor,
    },
    engine::EngineOptions,
    store::{Identity, IdentityKeys, Progress, Store, Tx},
};
use subrosa_crypto::{account::AccountSecret, device::DeviceSecrets, prekeys::generate_prekey};
use subrosa_protocol::{DeviceId, RelayAddress, SafeText, Username};
use subrosa_verify::{
    device_list::{DeviceList, SignedDeviceList},
    prekey::PrekeyKind,
};

use tokio::runtime::Runtime;

use super::{Account, Device, LyingRelay, PATIENCE, connection::fixed, now, rng};

/// The key of every store.
const KEY: [u8; 32] = [3; 32];
/// One-time prekeys of each kind that a new device has: more than the client's low mark, so that it uploads none.
const ONE_TIME: u32 = 30;

/// Somebody, on one device.
pub struct Someone {
    /// Account name.
    pub name: String,
    /// Device number.
    pub device: u32,
    /// The running engine.
    pub engine: Engine,
    /// Her store.
    pub path: PathBuf,
    events: Arc<Mutex<Vec<Event>>>,
}

/// An account name.
pub fn username(text: &str) -> Username {
    Username::new(text).unwrap()
}

impl Someone {
    /// A new account on a relay, with its first device.
    pub async fn register(relay: &LyingRelay, folder: &Path, name: &str) -> Self {
        let (account, _) = AccountSecret::generate(&mut rng());
        let secrets = DeviceSecrets::generate(&mut rng());
        let list = DeviceList {
            account: name.to_owned(),
            account_key: account.public(),
            version: 1,
            prev_hash: [0; 32],
            next_device_id: 2,
            devices: vec![secrets.entry(1, now())],
        };
        let signed = account.sign_device_list(&list).unwrap();
        let known = Account { lists: vec![signed.clone()], display_name: name.to_owned(), record: None };
        relay.state(|state| state.accounts.insert(name.to_owned(), known));
        let path = folder.join(format!("{name}-1.db"));
        install(relay, &path, (name, 1), account, secrets, &signed);
        Self::open(relay, &path).await
    }

    /// A further device of the same account.
    pub async fn another_device(&self, relay: &LyingRelay) -> Self {
        let keys = self.identity().await.keys.unwrap();
        let secrets = DeviceSecrets::generate(&mut rng());
        let before = relay.state(|state| state.newest(&self.name)).unwrap();
        let number = before.next_device_id;
        let mut next = DeviceList {
            version: before.version + 1,
            prev_hash: before.hash(),
            next_device_id: number + 1,
            ..before
        };
        next.devices.push(secrets.entry(number, now()));
        let signed = keys.account.sign_device_list(&next).unwrap();
        let path = self.path.with_file_name(format!("{}-{number}.db", self.name));
        relay.state(|state| state.publish(&self.name, signed.clone()));
        install(relay, &path, (&self.name, number), keys.account, secrets, &signed);
        Self::open(relay, &path).await
    }

    /// Whoever the store at `path` belongs to, connected to this relay.
    pub async fn open(relay: &LyingRelay, path: &Path) -> Self {
        Self::open_at(path, relay.address()).await
    }

    /// The same, with whatever relay the address names.
    pub async fn open_at(path: &Path, relay: RelayAddress) -> Self {
        let mut store = Store::open_at(path, &KEY).unwrap();
        let identity = store
            .transaction(|tx| {
                let identity = Identity { relay, ..tx.identity()?.unwrap() };
                tx.put_identity(&identity)?;
                Ok::<_, subrosa_client::store::StoreError>(identity)
            })
            .unwrap();
        let engine = {
            let _inside = engines().enter();
            Engine::start(store, EngineOptions::default()).unwrap()
        };
        let events = Arc::new(Mutex::new(Vec::new()));
        let (mut stream, heard) = (engine.subscribe().await.unwrap(), Arc::clone(&events));
        tokio::spawn(async move {
            loop {
                match stream.next().await {
                    StreamItem::Event(event) => heard.lock().unwrap().push(*event),
                    StreamItem::Gap { .. } => {}
                    StreamItem::End => return,
                }
            }
        });
        let (name, device) = (identity.account.to_string(), identity.device.get());
        Self { name, device, engine, path: path.to_owned(), events }
    }

    /// Asks the engine.
    pub async fn ask(&self, request: Request) -> Result<Reply, ApiError> {
        tokio::time::timeout(PATIENCE, self.engine.call(request)).await.expect("the engine does not answer")
    }

    /// Sends a text and waits at most so long until the relay has it.
    pub async fn send_within(&self, to: &str, text: &str, wait: WaitFor, within: Duration) -> SendResult {
        let send = SendMessage {
            to: vec![to.into()],
            text: text.into(),
            reply_to: None,
            key: None,
            wait,
            timeout_ms: Some(u64::try_from(within.as_millis()).unwrap()),
        };
        match self.ask(Request::MessageSend(send)).await.unwrap() {
            Reply::Sent { mut results } => results.remove(0),
            other => panic!("{other:?}"),
        }
    }

    /// Sends a text that the relay accepts.
    pub async fn send(&self, to: &str, text: &str) -> String {
        let sent = self.send_within(to, text, WaitFor::Accepted, Duration::from_secs(50)).await;
        assert!(sent.error.is_none(), "{sent:?}");
        sent.id.unwrap()
    }

    /// Queues a text.
    pub async fn queue(&self, to: &str, text: &str) -> String {
        self.send_within(to, text, WaitFor::Queued, Duration::from_secs(50)).await.id.unwrap()
    }

    /// Sends a text and tells what became of it in a short while; for those that do not go out.
    pub async fn try_send(&self, to: &str, text: &str) -> SendResult {
        self.send_within(to, text, WaitFor::Accepted, Duration::from_millis(700)).await
    }

    /// The lines of a chat.
    pub async fn lines(&self, chat: &str) -> Vec<Message> {
        let request = Request::ChatHistory { chat: chat.into(), before: None, after: None, limit: 500 };
        match self.ask(request).await {
            Ok(Reply::History(page)) => page.messages,
            Ok(other) => panic!("{other:?}"),
            Err(_) => Vec::new(),
        }
    }

    /// The texts of a chat, of both sides, in order.
    pub async fn texts(&self, chat: &str) -> Vec<String> {
        let text = |line: Message| match line.kind {
            MessageKind::Text { text } => Some(text.to_string()),
            _ => None,
        };
        self.lines(chat).await.into_iter().filter_map(text).collect()
    }

    /// The program's own lines in a chat.
    pub async fn notices(&self, chat: &str) -> Vec<MessageKind> {
        let lines = self.lines(chat).await.into_iter();
        lines.map(|line| line.kind).filter(|kind| !matches!(kind, MessageKind::Text { .. })).collect()
    }

    /// How far an own message is, and why it is not further.
    pub async fn line(&self, id: &str) -> Message {
        match self.ask(Request::MessageShow { id: id.into() }).await.unwrap() {
            Reply::Message { message, .. } => message,
            other => panic!("{other:?}"),
        }
    }

    /// Waits until a text is there, and it alone.
    pub async fn until_text(&self, chat: &str, text: &str) {
        let began = Instant::now();
        loop {
            let texts = self.texts(chat).await;
            if texts.iter().any(|there| there == text) {
                assert_eq!(texts.iter().filter(|there| *there == text).count(), 1, "{texts:?}");
                return;
            }
            let notices = self.notices(chat).await;
            assert!(began.elapsed() < PATIENCE, "{text:?} never came: {texts:?} {notices:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits until an own message came so far.
    pub async fn until_state(&self, id: &str, state: MessageState) {
        let began = Instant::now();
        loop {
            let line = self.line(id).await;
            if line.state == state {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "never {state:?}: {line:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits until a contact is as asked.
    pub async fn until_contact(&self, name: &str, is_so: impl Fn(&Contact) -> bool) {
        let began = Instant::now();
        loop {
            let contact = self.contact(name).await;
            if contact.as_ref().is_some_and(&is_so) {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "{contact:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// A contact.
    pub async fn contact(&self, name: &str) -> Option<Contact> {
        match self.ask(Request::ContactList {}).await.unwrap() {
            Reply::Contacts { contacts } => contacts.into_iter().find(|contact| contact.name == name),
            other => panic!("{other:?}"),
        }
    }

    /// The status.
    pub async fn status(&self) -> Status {
        match self.ask(Request::StatusShow {}).await.unwrap() {
            Reply::Status(status) => *status,
            other => panic!("{other:?}"),
        }
    }

    /// Waits until the status is as asked.
    pub async fn until_status(&self, what: &str, is_so: impl Fn(&Status) -> bool) -> Status {
        let began = Instant::now();
        loop {
            let status = self.status().await;
            if is_so(&status) {
                return status;
            }
            assert!(began.elapsed() < PATIENCE, "never {what}: {status:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits until she is connected and her mailbox is empty.
    pub async fn until_synced(&self) {
        let began = Instant::now();
        loop {
            let is_up = |status: &Status| matches!(status.connection, ConnectionState::Up { .. });
            self.until_status("connected", is_up).await;
            match self.ask(Request::SyncWait { timeout_ms: 50_000 }).await {
                Ok(_) => return,
                // That connection was not to last.
                Err(error) if error.kind == Kind::Unreachable => {}
                Err(error) => panic!("{error:?}"),
            }
            assert!(began.elapsed() < PATIENCE, "never synced");
        }
    }

    /// Waits until she may not connect any more, and tells why.
    pub async fn until_blocked(&self) -> ApiError {
        let is_blocked = |status: &Status| matches!(status.connection, ConnectionState::Blocked { .. });
        match self.until_status("blocked", is_blocked).await.connection {
            ConnectionState::Blocked { error } => error,
            other => panic!("{other:?}"),
        }
    }

    /// Connects anew at once, as a person may ask for, and waits until that has come to something.
    pub async fn reconnect(&self) {
        let ends = || self.heard(EventKind::ConnectionUp).len() + self.heard(EventKind::ConnectionDown).len();
        let (before, began) = (ends(), Instant::now());
        self.ask(Request::ConnectionReconnect {}).await.unwrap();
        while ends() == before {
            assert!(began.elapsed() < PATIENCE, "the new connection comes to nothing");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Events of a kind so far, since this engine was started.
    pub fn heard(&self, kind: EventKind) -> Vec<EventBody> {
        let events = self.events.lock().unwrap();
        events.iter().map(|event| &event.body).filter(|body| body.kind() == kind).cloned().collect()
    }

    /// Waits for an event.
    pub async fn until_heard(&self, kind: EventKind, is_it: impl Fn(&EventBody) -> bool) -> EventBody {
        let began = Instant::now();
        loop {
            if let Some(body) = self.heard(kind).into_iter().find(&is_it) {
                return body;
            }
            assert!(began.elapsed() < PATIENCE, "no such {kind:?}: {:?}", self.heard(kind));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Everything that was told since the engine was started, for searching.
    pub fn told(&self) -> String {
        format!("{:?}", self.events.lock().unwrap())
    }

    /// Who she is, with her keys.
    pub async fn identity(&self) -> Identity {
        self.peek(|tx| tx.identity().unwrap().unwrap()).await
    }

    /// Looks into a copy of her store.
    pub async fn peek<T>(&self, look: impl FnOnce(&Tx<'_>) -> T) -> T {
        let copy = tempfile::tempdir().unwrap();
        let store = copy_store(&self.path, copy.path());
        let store = Store::open_at(&store, &KEY).unwrap();
        store.read(|tx| Ok::<_, subrosa_client::store::StoreError>(look(tx))).unwrap()
    }

    /// Ends the engine.
    pub async fn stop(self) -> PathBuf {
        self.engine.shutdown().await;
        self.path.clone()
    }

    /// Ends the engine and starts it again, perhaps with changes to the store in between.
    pub async fn restart(self, relay: &LyingRelay, change: impl FnOnce(&Tx<'_>)) -> Self {
        let path = self.stop().await;
        let mut store = Store::open_at(&path, &KEY).unwrap();
        store
            .transaction(|tx| {
                change(tx);
                Ok::<_, subrosa_client::store::StoreError>(())
            })
            .unwrap();
        store.close().unwrap();
        Self::open(relay, &path).await
    }
}

/// Whoever is not needed any more is ended, and uses no time of the tests that follow.
impl Drop for Someone {
    fn drop(&mut self) {
        let engine = self.engine.clone();
        engines().spawn(async move { engine.shutdown().await });
    }
}

/// The runtime of all engines: it must live as long as they do, and a test's own does not.
fn engines() -> &'static Runtime {
    static ENGINES: OnceLock<Runtime> = OnceLock::new();
    ENGINES.get_or_init(|| Runtime::new().unwrap())
}

/// Copies a store that is open, with its write-ahead log: what is committed is in the copy, or the copy is made anew.
fn copy_store(path: &Path, folder: &Path) -> PathBuf {
    let to = folder.join("copy.db");
    for _ in 0..50 {
        let sizes = |path: &Path| {
            let len = |path: PathBuf| std::fs::metadata(path).map_or(0, |file| file.len());
            (len(path.to_owned()), len(with_suffix(path, "-wal")))
        };
        let before = sizes(path);
        std::fs::copy(path, &to).unwrap();
        let _ = std::fs::copy(with_suffix(path, "-wal"), with_suffix(&to, "-wal"));
        if sizes(path) == before && Store::open_at(&to, &KEY).is_ok() {
            return to;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("the store never stands still");
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Makes the store of a device, and tells the relay its prekeys.
fn install(
    relay: &LyingRelay,
    path: &Path,
    place: (&str, u32),
    account: AccountSecret,
    secrets: DeviceSecrets,
    list: &SignedDeviceList,
) {
    let (name, number) = place;
    let mut device = Device::default();
    let mut store = Store::open_at(path, &KEY).unwrap();
    store
        .transaction(|tx| {
            let publish = |kind, count: u32| -> Vec<Vec<u8>> {
                let first = tx.take_prekey_ids(count).unwrap();
                let make = |id| {
                    let (secret, public) =
                        generate_prekey(kind, id, &secrets, name, number, now(), &mut rng());
                    tx.put_prekey(&secret, &public).unwrap();
                    tx.prekeys_published(kind, &[id]).unwrap();
                    public.to_bytes()
                };
                (first..first + count).map(make).collect()
            };
            device.signed = publish(PrekeyKind::SignedEc, 1).pop().map(fixed);
            device.last_resort = publish(PrekeyKind::LastResortKem, 1).pop().map(fixed);
            device.one_time = publish(PrekeyKind::OneTimeEc, ONE_TIME).into_iter().map(fixed).collect();
            device.kem = publish(PrekeyKind::OneTimeKem, ONE_TIME).into_iter().map(fixed).collect();
            tx.put_device_list(&username(name), list, now())?;
            tx.put_identity(&Identity {
                account: username(name),
                display_name: SafeText::name(name),
                relay: relay.address(),
                account_key: account.public(),
                device: DeviceId::new(number).unwrap(),
                keys: Some(IdentityKeys { account, device: secrets }),
                progress: Progress::Ready,
            })
        })
        .unwrap();
    store.close().unwrap();
    relay.state(|state| state.devices.insert((name.to_owned(), number), device));
}
