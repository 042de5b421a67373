//! The program `rosad`, as an operator meets it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream, UdpSocket},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use common::{Client, Person, quic};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use subrosa_protocol::{InviteSecret, JoinLink, frames::*};
use tempfile::TempDir;

/// A running `rosad up --json`.
struct Rosad {
    child: Child,
    ready: Value,
    data: PathBuf,
}

fn rosad() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rosad"));
    command.env_remove("ROSAD_DATA").env_remove("ROSAD_CONFIG");
    command
}

impl Rosad {
    fn up(data: &Path, more: &[&str]) -> Self {
        let mut child = rosad()
            .args(["up", "--json", "--listen", "127.0.0.1:0", "--data"])
            .arg(data)
            .args(more)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready = serde_json::from_str(&line).unwrap_or_else(|_| {
            let mut errors = String::new();
            child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
            panic!("not ready: {line} {errors}")
        });
        Self { child, ready, data: data.to_owned() }
    }

    fn text(&self, name: &str) -> String {
        self.ready[name].as_str().unwrap().to_owned()
    }

    fn quic(&self) -> SocketAddr {
        self.text("quic").parse().unwrap()
    }

    /// Sends a signal and awaits the end: exit code, time, log.
    fn stop(mut self, signal: Signal) -> (Option<i32>, Duration, String) {
        let began = Instant::now();
        kill_process(Pid::from_child(&self.child), signal).unwrap();
        let status = self.child.wait().unwrap();
        let took = began.elapsed();
        let mut log = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
        (status.code(), took, log)
    }

    async fn client(&self) -> (Client, quinn::Connection) {
        let link: JoinLink = self.text("address").parse().unwrap();
        let options = quic::Options {
            alpn: b"rosa/1".to_vec(),
            fingerprint: link.relay.fingerprint,
            provider: rustls::crypto::aws_lc_rs::default_provider(),
        };
        let (endpoint, connection) = quic::connect(self.quic(), options).await.unwrap();
        let (writer, reader) = connection.open_bi().await.unwrap();
        let mut client = Client::new(reader, writer, quic::exporter(&connection));
        client.held = Some(Box::new(endpoint));
        client.hello().await;
        (client, connection)
    }
}

impl Drop for Rosad {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn secret(link: &str) -> [u8; 16] {
    let link: JoinLink = link.parse().unwrap();
    let InviteSecret(secret) = link.invite.unwrap();
    secret
}

fn run(args: &[&str], data: &Path) -> Output {
    rosad().args(args).arg("--data").arg(data).output().unwrap()
}

/// RFC 3339 in UTC with milliseconds.
fn milliseconds(time: &Value) -> u64 {
    let text = time.as_str().unwrap();
    assert!(text.len() == 24 && text.ends_with('Z'), "{text}");
    let time: jiff::Timestamp = text.parse().unwrap();
    u64::try_from(time.as_millisecond()).unwrap()
}

fn fails(output: &Output, code: i32, says: &[&str]) {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{errors}");
    for words in says {
        assert!(errors.contains(words), "{words:?} is missing: {errors}");
    }
    assert!(!errors.contains("panicked") && !errors.contains("RUST_BACKTRACE"), "{errors}");
}

fn http(address: &str, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split_whitespace().nth(1).unwrap().parse().unwrap();
    let body = answer.split_once("\r\n\r\n").unwrap().1.to_owned();
    (status, body)
}

fn dir() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    (dir, data)
}

#[tokio::test]
async fn r59_from_the_first_start_to_sigterm_and_sigint() {
    let (_dir, data) = dir();
    for signal in [Signal::TERM, Signal::INT] {
        let relay = Rosad::up(&data, &[]);
        assert_eq!(relay.ready["event"], "ready");
        assert!(relay.ready["http"].is_null());
        let (mut client, _connection) = relay.client().await;
        if relay.ready["invite"].is_null() {
            // There is an account since the first round.
            assert_eq!(signal, Signal::INT);
        } else {
            let invite = relay.text("invite");
            assert!(invite.starts_with(&relay.text("address")));
            let person = Person::new("alicexyz");
            let answer = client.register(&person, Some(secret(&invite))).await;
            assert!(matches!(answer, Response::Done(_)), "{answer:?}");
            client.authenticate(&person, 1).await;
        }
        let (code, took, log) = relay.stop(signal);
        assert_eq!(code, Some(0), "{log}");
        assert!(took < Duration::from_secs(5), "{took:?}");
        assert_eq!(client.closing().await, Some(CloseReason::ShuttingDown));
        // R55: nobody's name, address or key in the log.
        for private in ["alicexyz", "127.0.0.1", "display name"] {
            assert!(!log.contains(private), "{log}");
        }
        assert!(!log.contains("panicked"), "{log}");
    }
}

#[test]
fn what_it_prints_for_people() {
    let (_dir, data) = dir();
    let mut child = rosad()
        .args(["up", "--listen", "127.0.0.1:0", "--data"])
        .arg(&data)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut lines = String::new();
    for _ in 0..3 {
        out.read_line(&mut lines).unwrap();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    for words in
        ["rosad 0.1", "(0700)", "storage sqlite", "registration invite", "rosa://127.0.0.1:", "pinned key"]
    {
        assert!(lines.contains(words), "{words}: {lines}");
    }
    assert!(lines.contains("first user  rosa join 'rosa://"), "{lines}");
}

#[test]
fn a_second_relay_on_the_same_directory_says_who_has_it() {
    let (_dir, data) = dir();
    let relay = Rosad::up(&data, &[]);
    let pid = relay.child.id().to_string();
    let began = Instant::now();
    let second = rosad().args(["up", "--listen", "127.0.0.1:0", "--data"]).arg(&data).output().unwrap();
    fails(&second, 3, &[&format!("already running (pid {pid})"), "--data"]);
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[test]
fn what_cannot_work_says_what_why_and_what_next() {
    let (dir, data) = dir();
    // A directory that cannot be written. The root user can write anywhere but here.
    fails(
        &run(&["up", "--listen", "127.0.0.1:0"], Path::new("/proc/rosad-data")),
        3,
        &["/proc/rosad-data", "--data"],
    );
    let read_only = dir.path().join("read-only");
    std::fs::create_dir(&read_only).unwrap();
    let closed = std::os::unix::fs::PermissionsExt::from_mode(0o500);
    std::fs::set_permissions(&read_only, closed).unwrap();
    if !rustix::process::geteuid().is_root() {
        fails(
            &run(&["up", "--listen", "127.0.0.1:0"], &read_only.join("data")),
            3,
            &["cannot create", "--data"],
        );
    }
    // A port in use.
    let held = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = held.local_addr().unwrap().to_string();
    fails(&run(&["up", "--listen", &address], &data), 3, &[&address, "--listen", "in use"]);
    // A configuration with a mistake, and one that contradicts itself.
    let config = dir.path().join("bad.toml");
    std::fs::write(&config, "registraton = \"open\"").unwrap();
    let path = config.display().to_string();
    fails(&run(&["up", "--config", &path], &data), 2, &["bad.toml", "registraton"]);
    fails(&run(&["up", "--config", "/nowhere.toml"], &data), 2, &["/nowhere.toml"]);
    fails(&run(&["up", "--http", "0.0.0.0:0"], &data), 2, &["http_public"]);
    fails(&run(&["up", "--nonsense"], &data), 2, &["--nonsense"]);
    fails(&run(&["up", "--cert", "a.pem"], &data), 2, &["--key"]);
    fails(
        &run(&["up", "--cert", "a.pem", "--key", "b.pem", "--listen", "127.0.0.1:0"], &data),
        3,
        &["a.pem"],
    );
    // Nobody to ask for an invite.
    fails(&run(&["invite"], &data), 4, &["no relay runs", "rosad up"]);
    fails(&run(&["check"], &dir.path().join("nothing")), 3, &["no data directory"]);
    // With --json, standard output says it too.
    let output = run(&["up", "--json", "--listen", &address], &data);
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&said["event"], &said["code"]), (&Value::from("error"), &Value::from(3)));
}

#[tokio::test]
async fn invites_come_from_the_running_relay() {
    let (_dir, data) = dir();
    let relay = Rosad::up(&data, &["--public", "relay.example:4433"]);
    assert!(relay.text("address").starts_with("rosa://relay.example:4433/"));
    let output = run(&["invite", "--uses", "2", "--ttl", "1h", "--json"], &data);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let made: Value = serde_json::from_slice(&output.stdout).unwrap();
    let expires = milliseconds(&made["expires_at"]);
    assert!(expires.abs_diff(common::now() + 3_600_000) < 60_000);
    let link = made["invite"].as_str().unwrap();
    assert!(link.starts_with("rosa://relay.example:4433/"));
    for name in ["alice", "bobby"] {
        let (mut client, _connection) = relay.client().await;
        let answer = client.register(&Person::new(name), Some(secret(link))).await;
        assert!(matches!(answer, Response::Done(_)), "{answer:?}");
    }
    let text = run(&["invite"], &data);
    assert!(String::from_utf8_lossy(&text.stdout).starts_with("rosa join 'rosa://relay.example:4433/"));
    fails(&run(&["invite", "--uses", "0"], &data), 2, &["0"]);
    fails(&run(&["invite", "--ttl", "soon"], &data), 2, &["7d"]);
    for ttl in ["0s", "4000d", "99999999d", "99999999999999999999d"] {
        fails(&run(&["invite", "--ttl", ttl], &data), 2, &["--ttl"]);
    }
}

#[test]
fn a_stopped_relay_is_not_waited_for() {
    let (_dir, data) = dir();
    let relay = Rosad::up(&data, &[]);
    kill_process(Pid::from_child(&relay.child), Signal::STOP).unwrap();
    let began = Instant::now();
    fails(&run(&["invite"], &data), 4, &["does not answer within 5 s"]);
    let check = run(&["check"], &data);
    assert_eq!(check.status.code(), Some(4), "{check:?}");
    assert!(String::from_utf8_lossy(&check.stdout).contains("does not answer within 5 s"), "{check:?}");
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    kill_process(Pid::from_child(&relay.child), Signal::CONT).unwrap();
}

#[test]
fn check_looks_at_a_running_and_a_stopped_relay() {
    let (_dir, data) = dir();
    let check = |data: &Path, more: &[&str]| {
        let output = run(&[&["check", "--json"], more].concat(), data);
        let said: Value = serde_json::from_slice(&output.stdout).unwrap();
        (output.status.code(), said)
    };
    let status = |said: &Value, name: &str| {
        let checks = said["checks"].as_array().unwrap();
        checks
            .iter()
            .find(|check| check["name"] == name)
            .map(|check| check["status"].as_str().unwrap().to_owned())
    };
    let relay = Rosad::up(&data, &[]);
    let (code, said) = check(&data, &[]);
    assert_eq!((code, &said["ok"], &said["running"]), (Some(0), &true.into(), &true.into()), "{said}");
    assert_eq!(status(&said, "service").as_deref(), Some("ok"));
    assert_eq!(status(&said, "database").as_deref(), Some("ok"));
    assert_eq!(status(&said, "passphrase keys").as_deref(), Some("warn"), "R40: no backup is noted");
    let (_, said) = check(&data, &["--backed-up"]);
    assert_eq!(status(&said, "passphrase keys").as_deref(), Some("ok"));
    relay.stop(Signal::TERM);

    std::fs::write(data.join("rosad.toml"), "listen = \"127.0.0.1:0\"").unwrap();
    let (code, said) = check(&data, &[]);
    assert_eq!((code, &said["running"]), (Some(0), &false.into()), "{said}");
    assert_eq!(status(&said, "port").as_deref(), Some("ok"));
    // What is wrong is found.
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    std::fs::set_permissions(data.join("relay-key.pem"), open).unwrap();
    std::fs::write(data.join("opaque-setup"), b"damaged").unwrap();
    let (code, said) = check(&data, &[]);
    assert_eq!((code, &said["ok"]), (Some(3), &false.into()));
    assert_eq!(status(&said, "permissions").as_deref(), Some("fail"));
    assert_eq!(status(&said, "passphrase keys").as_deref(), Some("fail"));
    fails(&run(&["up", "--listen", "127.0.0.1:0"], &data), 3, &["opaque-setup is damaged", "backup"]);
}

#[test]
fn a_backup_is_made_of_a_running_and_of_a_stopped_relay_and_overwrites_nothing() {
    use std::os::unix::fs::PermissionsExt;
    let (parent, data) = dir();
    let copy = |name: &str| parent.path().join(name);
    let back_up = |name: &str| run(&["backup", "--json", copy(name).to_str().unwrap()], &data);
    fails(&back_up("early.db"), 3, &["there is no data directory"]);
    let rosad = Rosad::up(&data, &["--registration", "open"]);
    let backup = back_up("running.db");
    assert!(backup.status.success(), "{backup:?}");
    let told: Value = serde_json::from_slice(&backup.stdout).unwrap();
    assert_eq!(told["event"], "backup");
    fails(&back_up("running.db"), 3, &["cannot create", "running.db"]);
    drop(rosad);
    assert!(back_up("stopped.db").status.success());
    for name in ["running.db", "stopped.db"] {
        let mode = std::fs::metadata(copy(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let seen = subrosa_server::store::sqlite::inspect(&copy(name)).unwrap();
        assert_eq!((seen.schema_version, seen.problem), (3, None));
    }
    assert!(!copy("early.db").exists());
}

#[tokio::test]
async fn the_passphrase_keys_are_not_made_anew_while_there_are_accounts() {
    let (_dir, data) = dir();
    let relay = Rosad::up(&data, &["--registration", "open"]);
    let (mut client, _connection) = relay.client().await;
    assert!(matches!(client.register(&Person::new("alice"), None).await, Response::Done(_)));
    relay.stop(Signal::TERM);
    std::fs::remove_file(data.join("opaque-setup")).unwrap();
    fails(&run(&["up", "--listen", "127.0.0.1:0"], &data), 3, &["opaque-setup is missing", "backup"]);
}

#[test]
fn health_ready_and_metrics_are_served_on_loopback_only_when_asked() {
    let (dir, data) = dir();
    let relay = Rosad::up(&data, &["--http", "127.0.0.1:0"]);
    let address = relay.text("http");
    let (status, body) = http(&address, "/health");
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, body["status"].as_str()), (200, Some("ok")));
    assert!(milliseconds(&body["timestamp"]).abs_diff(common::now()) < 60_000);
    assert_eq!(http(&address, "/ready").0, 200);
    let (status, metrics) = http(&address, "/metrics");
    assert_eq!(status, 200);
    assert!(metrics.contains("rosad_panics_total 0") && metrics.ends_with("# EOF\n"), "{metrics}");
    assert_eq!(http(&address, "/other").0, 404);
    relay.stop(Signal::TERM);

    let config = dir.path().join("full.toml");
    std::fs::write(&config, "[limits]\ndisk_free_min = 18000000000000000").unwrap();
    let relay = Rosad::up(&data, &["--http", "127.0.0.1:0", "--config", config.to_str().unwrap()]);
    let address = relay.text("http");
    let (status, body) = http(&address, "/ready");
    assert!(status == 503 && body.contains("storage_full"), "{status} {body}");
    assert_eq!(http(&address, "/health").0, 200);
}

#[test]
fn half_requests_do_not_shut_out_whoever_watches_the_relay() {
    let (_dir, data) = dir();
    let relay = Rosad::up(&data, &["--http", "127.0.0.1:0"]);
    let address = relay.text("http");
    // Twice as many as there are places (`HTTP_CONNECTIONS`).
    let half: Vec<_> = (0..128)
        .map(|_| {
            let mut stream = TcpStream::connect(&address).unwrap();
            stream.write_all(b"GET /hea").unwrap();
            stream
        })
        .collect();
    let mut dripping = TcpStream::connect(&address).unwrap();
    dripping.write_all(b"GET /health HTTP/1.1\r\n").unwrap();
    let drops = dripping.try_clone().unwrap();
    let drips = std::thread::spawn(move || {
        for number in 0.. {
            if writeln!(&drops, "x-{number}: y\r").is_err() {
                break;
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    });
    for path in ["/health", "/ready", "/metrics"] {
        let began = Instant::now();
        assert_eq!(http(&address, path).0, 200);
        assert!(began.elapsed() < Duration::from_secs(30), "{path} took {:?}", began.elapsed());
    }
    // All of them end, also the one that goes on writing.
    for mut stream in half.into_iter().chain([dripping]) {
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let mut answer = Vec::new();
        let ended = stream.read_to_end(&mut answer).map_err(|error| error.kind());
        let reset = std::io::ErrorKind::ConnectionReset;
        assert!(ended.is_ok() || ended == Err(reset), "it is still open: {ended:?}");
        assert!(!answer.starts_with(b"HTTP/1.1 200"), "half a request was answered");
    }
    drips.join().unwrap();
    assert_eq!(http(&address, "/health").0, 200);
}

#[test]
fn a_watchers_connection_is_closed_after_its_answer() {
    let (_dir, data) = dir();
    let relay = Rosad::up(&data, &["--http", "127.0.0.1:0"]);
    let mut stream = TcpStream::connect(relay.text("http")).unwrap();
    write!(stream, "GET /health HTTP/1.1\r\nhost: x\r\nconnection: keep-alive\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("connection: close"), "{answer}");
}

#[tokio::test]
async fn an_operators_certificate_is_read_again_on_sighup() {
    let (dir, data) = dir();
    let (cert, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    let pair = rcgen::KeyPair::generate().unwrap();
    std::fs::write(&key, pair.serialize_pem()).unwrap();
    let issue = |name: &str| {
        let params = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
        std::fs::write(&cert, params.self_signed(&pair).unwrap().pem()).unwrap();
    };
    issue("one.example");
    let relay = Rosad::up(
        &data,
        &[
            "--cert",
            cert.to_str().unwrap(),
            "--key",
            key.to_str().unwrap(),
            "--public",
            "one.example",
            "--pin",
        ],
    );
    let presented = || async {
        let (_client, connection) = relay.client().await;
        let identity = connection.peer_identity().unwrap();
        let certs = identity.downcast::<Vec<rustls::pki_types::CertificateDer<'static>>>().unwrap();
        certs[0].to_vec()
    };
    let before = presented().await;
    issue("two.example");
    kill_process(Pid::from_child(&relay.child), Signal::HUP).unwrap();
    for _ in 0..100 {
        if presented().await != before {
            assert!(!relay.data.join("relay-key.pem").exists(), "no key of its own was made");
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the new certificate was never presented");
}

#[test]
fn r55_debug_logs_carry_a_warning_and_json_logs_are_json() {
    let (_dir, data) = dir();
    let relay = Rosad::up(&data, &["--log-level", "debug", "--log-format", "json"]);
    let (_, _, log) = relay.stop(Signal::TERM);
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(
        lines.iter().any(|line| line["fields"]["message"].as_str().unwrap_or("").contains("keep it private")),
        "{log}"
    );
    let relay = Rosad::up(&data, &[]);
    let (_, _, log) = relay.stop(Signal::TERM);
    assert!(!log.contains("keep it private") && log.contains("ready") && log.contains("stopped"), "{log}");
}
