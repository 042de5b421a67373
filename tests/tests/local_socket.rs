//! A running `rosa daemon`, as others on the same machine meet it: no other user gets an answer, there is no TCP (R50), and
//! nobody looks into its memory (R26).
//!
//! Other users can be played by root only; otherwise that part is left out.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::{
    collections::BTreeSet,
    fs::{self, Permissions},
    io::{BufRead, BufReader},
    net::TcpListener,
    os::unix::{
        fs::{MetadataExt, PermissionsExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use rustix::process::geteuid;
use serde_json::Value;
use subrosa_tests::{
    World,
    programs::program,
    report::{did, left_out},
};

/// Somebody who may nothing: `nobody`, as he is called nearly everywhere.
const NOBODY: u32 = 65_534;

fn is_root() -> bool {
    geteuid().is_root()
}

/// Asks for the status over a Unix socket and prints what it reads until a line or the end.
const ASK: &str = r#"
use Socket;
socket(my $socket, PF_UNIX, SOCK_STREAM, 0) or die "socket: $!";
connect($socket, sockaddr_un($ARGV[0])) or die "connect: $!";
print "connected\n";
$SIG{PIPE} = "IGNORE";
syswrite($socket, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"status.show\"}\n");
while (sysread($socket, my $some, 65536)) { print $some; last if $some =~ /\n/; }
print "end\n";
"#;

/// Asks as this user, or as another.
fn ask(socket: &Path, uid: Option<u32>) -> String {
    let mut perl = Command::new("perl");
    perl.args(["-e", ASK]).arg(socket).current_dir("/");
    if let Some(uid) = uid {
        perl.uid(uid).gid(uid);
    }
    let output = perl.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Every socket that is bound by name below a folder.
fn sockets(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            found.extend(sockets(&entry.path()));
        } else if std::os::unix::fs::FileTypeExt::is_socket(&kind) {
            found.push(entry.path());
        }
    }
    found
}

/// Opens a path for everybody: only the socket's own check of who asks is left.
fn open_to_all(path: &Path, root: &Path) {
    for part in path.ancestors().take_while(|part| part.starts_with(root)) {
        fs::set_permissions(part, Permissions::from_mode(0o777)).unwrap();
    }
}

#[test]
fn r50_another_user_gets_no_answer_even_when_the_socket_lies_open() {
    let world = World::open();
    let alice = world.joined("alice");
    let daemon = alice.daemon();
    let socket = sockets(&alice.home).pop().expect("the daemon has a socket");
    let own = ask(&socket, None);
    let line = own.lines().nth(1).unwrap_or_default();
    let answer: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {own}"));
    assert!(answer["result"].is_object(), "{own}");

    if !is_root() {
        return left_out("the socket and another user: not root");
    }
    open_to_all(&socket, world.path());
    assert_eq!(ask(&socket, Some(NOBODY)), "connected\nend\n");
    let began = Instant::now();
    while !daemon.log().contains("another user") {
        assert!(began.elapsed() < Duration::from_secs(30), "the log says nothing of it: {}", daemon.log());
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(ask(&socket, None).lines().count(), 3, "the owner is answered as before");
    did("socket: another user connected, and was not answered");
}

/// Inodes of the sockets that a process holds.
fn sockets_of(pid: u32) -> BTreeSet<u64> {
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    let targets = descriptors.filter_map(|entry| fs::read_link(entry.unwrap().path()).ok());
    let inode =
        |target: PathBuf| target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse::<u64>().ok();
    targets.filter_map(inode).collect()
}

/// Those of them that are TCP sockets, in whatever state.
fn tcp_of(pid: u32) -> Vec<String> {
    let own = sockets_of(pid);
    assert!(!own.is_empty(), "a process with no socket at all: were they read?");
    let tables = ["tcp", "tcp6"].map(|name| fs::read_to_string(format!("/proc/{pid}/net/{name}")));
    let lines: Vec<String> =
        tables.iter().flatten().flat_map(|table| table.lines().skip(1)).map(str::to_owned).collect();
    let inode = |line: &String| line.split_whitespace().nth(9).and_then(|inode| inode.parse().ok());
    lines.into_iter().filter(|line| inode(line).is_some_and(|inode: u64| own.contains(&inode))).collect()
}

#[test]
fn r50_there_is_no_tcp() {
    // This process has one, so that it is known that one would be found.
    let _listener = TcpListener::bind("127.0.0.1:0").unwrap();
    assert_eq!(tcp_of(std::process::id()).len(), 1);
    if !is_root() {
        return left_out("the daemon's sockets: not root, and the daemon lets nobody else look");
    }
    let world = World::open();
    let alice = world.joined("alice");
    let daemon = alice.daemon();
    let tcp = tcp_of(daemon.pid());
    assert!(tcp.is_empty(), "{tcp:?}");
}

/// Somebody without privileges: this user, or nobody when this is root.
fn as_nobody(command: &mut Command) -> &mut Command {
    if is_root() { command.uid(NOBODY).gid(NOBODY) } else { command }
}

/// `cat` of a file of a process, by a user without privileges.
fn cat(pid: u32, file: &str) -> Output {
    let mut cat = Command::new("cat");
    cat.arg(format!("/proc/{pid}/{file}")).env("LC_ALL", "C").current_dir("/");
    as_nobody(&mut cat).output().unwrap()
}

fn is_denied(output: &Output) -> bool {
    !output.status.success() && String::from_utf8_lossy(&output.stderr).contains("Permission denied")
}

/// Gives a folder and all in it to nobody.
fn give_away(path: &Path) {
    if !is_root() {
        return;
    }
    chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            give_away(&entry.unwrap().path());
        }
    }
}

/// The core size limits of a process, soft and hard.
fn core_limits(pid: u32) -> Vec<String> {
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max core file size")).unwrap();
    line.split_whitespace().take(2).map(str::to_owned).collect()
}

/// A process, ended with this.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a program as somebody without privileges who may have core dumps, and waits for its first line.
fn start(command: &Command) -> (Running, String) {
    let mut shell = Command::new("sh");
    shell.args(["-c", "ulimit -c \"$(ulimit -Hc)\"; exec \"$@\"", "sh"]);
    shell.arg(command.get_program()).args(command.get_args()).env_clear().current_dir("/");
    shell.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    shell.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = as_nobody(&mut shell).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    if line.is_empty() {
        let output = child.wait_with_output().unwrap();
        panic!("{command:?} ended: {}", String::from_utf8_lossy(&output.stderr));
    }
    (Running(child), line)
}

#[test]
fn r26_the_daemon_leaves_no_core_and_lets_nobody_look_into_it() {
    let world = World::open();
    let alice = world.joined("alice");
    // Where everybody may run it, wherever it was built.
    let rosa = world.path().join("rosa");
    fs::copy(program("rosa"), &rosa).unwrap();
    fs::set_permissions(&rosa, Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(world.path(), Permissions::from_mode(0o711)).unwrap();
    give_away(&alice.home);
    let passphrase = alice.passphrase_file();
    let made = alice.command(&["daemon", "--json", "--passphrase-file", passphrase.to_str().unwrap()]);
    let mut command = Command::new(&rosa);
    command.args(made.get_args()).envs(made.get_envs().filter_map(|(name, value)| Some((name, value?))));

    // A program that does nothing against it, so that it is known that the way leads inside.
    let (plain, _) = start(Command::new("sh").args(["-c", "echo here; read line"]));
    let plain = &plain.0;
    let environment = cat(plain.id(), "environ");
    let looks_into_plain = environment.status.success() && !is_denied(&cat(plain.id(), "mem"));
    let may_dump = core_limits(plain.id())[1] != "0";

    let (daemon, ready) = start(&command);
    assert!(ready.contains("ready"), "{ready}");
    let pid = daemon.0.id();
    assert_eq!(fs::read_to_string(format!("/proc/{pid}/comm")).unwrap().trim(), "rosa");
    assert_eq!(core_limits(pid), ["0", "0"]);
    if !may_dump {
        left_out("core dumps: they are forbidden here to everything");
    }
    // What nobody may look into belongs to root in /proc, whoever runs it.
    assert_eq!(fs::metadata(format!("/proc/{pid}/environ")).unwrap().uid(), 0, "it is dumpable");
    for file in ["mem", "environ", "maps"] {
        let output = cat(pid, file);
        assert!(is_denied(&output), "/proc/{pid}/{file} can be opened: {output:?}");
    }
    if looks_into_plain {
        did("hardening: a user without privileges looks into another program of his, and not into rosa");
    } else {
        left_out("looking into other programs of the same user: the system forbids it for all");
    }
}
