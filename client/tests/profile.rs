//! Whole profiles: files, permissions, passphrases, one owner.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::{
        fs::{MetadataExt, PermissionsExt},
        process::CommandExt,
    },
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use getrandom::SysRng;
use rand_core::UnwrapErr;
use subrosa_client::{
    api::{ApiError, Kind},
    profile::{Locked, ProfilePaths},
    store::{Store, StoreError},
};
use subrosa_crypto::vault::{Vault, VaultParams};

const PASSPHRASE: &[u8] = b"correct horse battery staple";

fn paths(directory: &Path) -> ProfilePaths {
    ProfilePaths::resolve(directory.join("profile").to_str()).unwrap()
}

fn create(paths: &ProfilePaths) -> Result<Store, ApiError> {
    Locked::acquire(paths.clone())?.create_with(PASSPHRASE, VaultParams::MINIMUM, &mut UnwrapErr(SysRng))
}

fn open(paths: &ProfilePaths, passphrase: &[u8]) -> Result<Store, ApiError> {
    Locked::acquire(paths.clone())?.open(passphrase)
}

fn set(store: &mut Store, value: &str) {
    store.transaction(|tx| tx.set_setting("test", Some(value))).unwrap();
}

fn get(store: &Store) -> Option<String> {
    store.read(|tx| tx.setting("test")).map_err(|e: StoreError| e).unwrap()
}

/// This test program again, in another role: see [`child`].
fn in_child(role: &str, directory: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["child", "--exact", "--ignored", "--nocapture"]);
    command.env("CHILD_ROLE", role).env("CHILD_DIRECTORY", directory).stdout(Stdio::piped());
    command
}

/// Not a test: what other tests run in processes of their own.
#[test]
#[ignore = "a role for other tests"]
fn child() {
    let (Ok(role), Some(directory)) = (std::env::var("CHILD_ROLE"), std::env::var_os("CHILD_DIRECTORY"))
    else {
        return;
    };
    let paths = paths(Path::new(&directory));
    match role.split_once(' ').unwrap_or((&role, "")) {
        ("umask", mask) => {
            let mask = u32::from_str_radix(mask, 8).unwrap();
            rustix::process::umask(rustix::fs::Mode::from_raw_mode(mask));
            let mut store = create(&paths).unwrap();
            set(&mut store, "1");
            for (file, mode) in [
                (".", 0o700),
                ("store.db", 0o600),
                ("store.db-wal", 0o600),
                ("store.db-shm", 0o600),
                ("vault", 0o600),
                ("lock", 0o600),
            ] {
                let found = fs::metadata(paths.dir.join(file)).unwrap().mode() & 0o7777;
                assert_eq!(found, mode, "{file} is {found:o} under umask {mask:o}");
            }
            assert!(store.check().iter().all(|item| item.ok), "{:?}", store.check());
        }
        ("own", _) => {
            let _locked = Locked::acquire(paths).unwrap();
            println!("owned");
            std::thread::sleep(Duration::from_secs(60));
        }
        ("write", _) => {
            let error = create(&paths).map(drop).unwrap_err();
            println!("told {:?} {} / {}", error.kind, error.message, error.hint.unwrap());
        }
        other => panic!("no role {other:?}"),
    }
}

fn line(child: &mut Child, start: &str) -> String {
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    // libtest writes the test's name in front of the first line.
    lines.map(Result::unwrap).find_map(|line| line.find(start).map(|at| line[at..].to_owned())).expect(start)
}

#[test]
fn r26_files_are_private_whatever_the_umask_is() {
    for mask in ["0", "022", "077", "0777"] {
        let directory = tempfile::tempdir().unwrap();
        let done = in_child(&format!("umask {mask}"), directory.path()).output().unwrap();
        assert!(done.status.success(), "umask {mask}: {}", String::from_utf8_lossy(&done.stdout));
    }
}

#[test]
fn a_profile_opens_with_its_passphrase_only() {
    let directory = tempfile::tempdir().unwrap();
    let paths = paths(directory.path());
    assert!(!paths.exists());
    assert_eq!(open(&paths, PASSPHRASE).map(drop).unwrap_err().kind, Kind::NotReady, "there is none yet");
    let mut store = create(&paths).unwrap();
    set(&mut store, "kept");
    store.close().unwrap();
    assert!(paths.exists());

    let before = (fs::read(&paths.store).unwrap(), fs::read(&paths.vault).unwrap());
    for wrong in [&b""[..], b"correct horse battery stapl", b"correct horse battery staple "] {
        let error = open(&paths, wrong).map(drop).unwrap_err();
        assert_eq!((error.kind, &*error.message), (Kind::NotReady, "wrong passphrase"));
    }
    assert_eq!((fs::read(&paths.store).unwrap(), fs::read(&paths.vault).unwrap()), before);
    assert_eq!(get(&open(&paths, PASSPHRASE).unwrap()).as_deref(), Some("kept"));

    let owned = Locked::acquire(paths.clone()).unwrap();
    assert!(Locked::check_passphrase(&paths, PASSPHRASE).is_ok(), "whoever owns the profile");
    assert_eq!(Locked::check_passphrase(&paths, b"wrong").unwrap_err().kind, Kind::NotReady);
    drop(owned);

    let again = create(&paths).map(drop).unwrap_err();
    assert_eq!(again.kind, Kind::Refused);
    assert_eq!(fs::read(&paths.vault).unwrap(), before.1);
}

#[test]
fn r26_creating_measures_the_work_of_a_guess() {
    let directory = tempfile::tempdir().unwrap();
    let paths = paths(directory.path());
    let store = Locked::acquire(paths.clone()).unwrap().create(PASSPHRASE, &mut UnwrapErr(SysRng)).unwrap();
    drop(store);
    let params = Vault::from_bytes(&fs::read(&paths.vault).unwrap()).unwrap().params();
    let floor = VaultParams::MINIMUM;
    assert!(params.memory_kib() >= floor.memory_kib() && params.passes() >= floor.passes());
    assert!(open(&paths, PASSPHRASE).is_ok());
}

#[test]
fn an_interrupted_creation_begins_anew_and_throws_nothing_away() {
    let directory = tempfile::tempdir().unwrap();
    let paths = paths(directory.path());
    let mut store = create(&paths).unwrap();
    set(&mut store, "first");
    drop(store);
    let vault = fs::read(&paths.vault).unwrap();
    // As if the program had been killed before the vault was written; or as if somebody lost it.
    fs::remove_file(&paths.vault).unwrap();
    assert!(!paths.exists());
    let store = create(&paths).unwrap();
    assert_eq!(get(&store), None);
    store.close().unwrap();
    // The lost vault was found again: its store is still there.
    fs::write(&paths.vault, vault).unwrap();
    for suffix in ["", "-wal"] {
        let name = paths.store.to_str().unwrap();
        let aside = format!("{name}.without-vault{suffix}");
        if Path::new(&aside).exists() {
            fs::rename(aside, format!("{name}{suffix}")).unwrap();
        }
    }
    assert_eq!(get(&open(&paths, PASSPHRASE).unwrap()).as_deref(), Some("first"));
}

#[test]
fn r24_a_second_owner_is_refused_at_once_with_the_pid_of_the_first() {
    let directory = tempfile::tempdir().unwrap();
    let paths = paths(directory.path());
    assert_eq!(Locked::owner(&paths), None);
    let mut child = in_child("own", directory.path()).spawn().unwrap();
    line(&mut child, "owned");
    assert_eq!(Locked::owner(&paths), Some(child.id()));
    let begun = Instant::now();
    let error = Locked::acquire(paths.clone()).map(drop).unwrap_err();
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    assert_eq!(error.kind, Kind::NotReady);
    assert_eq!(&*error.message, format!("already running (pid {})", child.id()));

    child.kill().unwrap();
    child.wait().unwrap();
    assert!(
        fs::read_to_string(&paths.lock).unwrap().contains(&child.id().to_string()),
        "the lock file is stale now"
    );
    assert_eq!(Locked::owner(&paths), None);
    let locked = Locked::acquire(paths.clone()).unwrap();
    assert_eq!(Locked::owner(&paths), Some(std::process::id()));
    assert!(Locked::acquire(paths.clone()).is_err(), "not twice in one process either");
    drop(locked);
    assert!(Locked::acquire(paths).is_ok());
}

#[test]
fn r24_looking_for_the_owner_never_stands_in_the_way_of_one() {
    let directory = tempfile::tempdir().unwrap();
    let paths = paths(directory.path());
    drop(Locked::acquire(paths.clone()).unwrap());
    let looking = std::thread::spawn({
        let paths = paths.clone();
        move || (0..2_000).filter_map(|_| Locked::owner(&paths)).count()
    });
    for _ in 0..50 {
        drop(Locked::acquire(paths.clone()).unwrap());
    }
    looking.join().unwrap();
}

#[test]
fn r24_the_profile_is_free_when_its_store_is_closed_or_its_opening_failed() {
    let directory = tempfile::tempdir().unwrap();
    let paths = paths(directory.path());
    let store = create(&paths).unwrap();
    assert_eq!(store.profile(), Some(&paths));
    assert!(Locked::acquire(paths.clone()).is_err());
    store.close().unwrap();
    assert!(open(&paths, b"wrong").is_err());
    assert!(open(&paths, PASSPHRASE).is_ok());
    assert!(Locked::acquire(paths).is_ok());
}

#[test]
fn a_directory_that_cannot_be_written_is_told_clearly() {
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o555)).unwrap();
    let mut command = in_child("write", directory.path());
    let program = tempfile::Builder::new().permissions(fs::Permissions::from_mode(0o755)).tempdir().unwrap();
    if rustix::process::geteuid().is_root() {
        // Root may write anywhere; nobody may not. A copy of this program that nobody can run.
        let copy = program.path().join("profile-test");
        fs::copy(std::env::current_exe().unwrap(), &copy).unwrap();
        let arguments: Vec<_> = command.get_args().map(ToOwned::to_owned).collect();
        let mut as_nobody = Command::new(&copy);
        as_nobody.args(arguments).env("CHILD_ROLE", "write").env("CHILD_DIRECTORY", directory.path());
        as_nobody.uid(65_534).gid(65_534).current_dir("/");
        command = as_nobody;
    }
    let told = String::from_utf8(command.output().unwrap().stdout).unwrap();
    assert!(told.contains("told NotReady"), "{told}");
    assert!(told.contains("profile") && told.to_lowercase().contains("permission denied"), "{told}");
    assert!(told.contains("check the owner and the permissions"), "{told}");
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn other_unusable_places_are_told_clearly() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("profile"), b"a file").unwrap();
    let error = create(&paths(directory.path())).map(drop).unwrap_err();
    assert_eq!(error.kind, Kind::NotReady);
    assert!(error.message.contains("not a directory"), "{}", error.message);
    // A file system that takes no directories, for root neither.
    let error = create(&ProfilePaths::resolve(Some("/proc/rosa-profile")).unwrap()).map(drop).unwrap_err();
    assert_eq!(error.kind, Kind::NotReady);
}

#[test]
fn damaged_files_are_told_clearly() {
    let directory = tempfile::tempdir().unwrap();
    let paths = paths(directory.path());
    create(&paths).unwrap().close().unwrap();
    let (store, vault) = (fs::read(&paths.store).unwrap(), fs::read(&paths.vault).unwrap());

    for bad in [vec![], b"garbage".to_vec(), [&vault[..], b"x"].concat(), vault[..vault.len() - 1].to_vec()] {
        fs::write(&paths.vault, bad).unwrap();
        let error = open(&paths, PASSPHRASE).map(drop).unwrap_err();
        assert_eq!(error.kind, Kind::NotReady);
        assert!(error.message.contains("vault") && error.hint.is_some(), "{}", error.message);
    }
    fs::write(&paths.vault, &vault).unwrap();

    let mut bad = store.clone();
    bad[40] ^= 4;
    fs::write(&paths.store, bad).unwrap();
    let error = open(&paths, PASSPHRASE).map(drop).unwrap_err();
    assert_eq!(error.kind, Kind::NotReady);
    assert!(error.message.contains("damaged") && error.hint.is_some(), "{}", error.message);

    fs::remove_file(&paths.store).unwrap();
    let error = open(&paths, PASSPHRASE).map(drop).unwrap_err();
    assert!(error.message.contains("missing"), "{}", error.message);
    assert!(!paths.store.exists(), "no empty store takes its place");

    fs::write(&paths.store, store).unwrap();
    assert!(open(&paths, PASSPHRASE).is_ok());
}

#[test]
fn a_destroyed_profile_leaves_no_file_but_its_lock() {
    let directory = tempfile::tempdir().unwrap();
    let paths = paths(directory.path());
    let mut store = create(&paths).unwrap();
    set(&mut store, "gone");
    store.destroy().unwrap();
    assert!(!paths.exists());
    let left: Vec<_> = fs::read_dir(&paths.dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["lock"]);
    assert_eq!(get(&create(&paths).unwrap()), None);
}
