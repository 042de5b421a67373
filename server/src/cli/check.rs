//! `rosad check`: is everything as it should be? For a running relay and a stopped one.

use std::{fs, io, os::unix::fs::PermissionsExt, path::Path};

use clap::Args;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::{NOT_READY, Place, UNREACHABLE, USAGE, fail};
use crate::{
    admin::{AdminRequest, ask},
    config::Config,
    data_dir::{DATABASE, DataDir, OPAQUE_SETUP, TLS_CERT, TLS_KEY, read_private},
    listener::bind,
    store::sqlite::{inspect, inspect_journal, journal_beside},
    tls::{Certificate, CertificateFiles},
    upkeep::disk_free,
};

/// Holds the SHA-256 of the OPAQUE keys of which the operator says that there is a backup.
const BACKED_UP: &str = "opaque-setup.backed-up";

#[derive(Debug, Args)]
pub(super) struct Check {
    #[command(flatten)]
    place: Place,
    /// Note that the passphrase keys (opaque-setup) have a backup in another place
    #[arg(long)]
    backed_up: bool,
    /// One JSON object on standard output
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    Ok,
    Warn,
    Fail,
}

impl Status {
    const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

struct Finding {
    name: &'static str,
    status: Status,
    text: String,
}

fn finding(name: &'static str, status: Status, text: impl Into<String>) -> Finding {
    Finding { name, status, text: text.into() }
}

impl Check {
    pub(super) async fn run(self) -> u8 {
        let config = match self.place.read().and_then(|config| config.check().map(|()| config)) {
            Ok(config) => config,
            Err(error) => return fail(self.json, USAGE, &error.to_string()),
        };
        let data = config.data.as_path();
        let running = match DataDir::running(data) {
            Ok(running) => running,
            Err(error) => return fail(self.json, NOT_READY, &error.to_string()),
        };
        if self.backed_up
            && let Err(error) = note_backup(data)
        {
            return fail(self.json, NOT_READY, &error);
        }
        let mut findings = vec![finding("configuration", Status::Ok, "understood")];
        findings.push(match &running {
            Some(pid) => finding("relay", Status::Ok, format!("running (pid {pid})")),
            None => finding("relay", Status::Ok, "not running"),
        });
        findings.push(permissions(data));
        findings.push(disk(data, config.limits.disk_free_min));
        if running.is_none() {
            findings.push(port(&config));
        }
        findings.push(certificate(&config));
        findings.push(passphrase_keys(data));
        findings.push(database(data));
        if running.is_none() {
            findings.extend(journal(data));
        }
        let good = |findings: &[Finding]| findings.iter().all(|finding| finding.status != Status::Fail);
        let mut code = if good(&findings) { 0 } else { NOT_READY };
        if running.is_some() {
            let (service, silent) = answers(data).await;
            if silent && code == 0 {
                code = UNREACHABLE;
            } else if service.status == Status::Fail {
                code = NOT_READY;
            }
            findings.push(service);
        }
        self.report(running.is_some(), &findings);
        code
    }

    fn report(&self, running: bool, findings: &[Finding]) {
        let good = findings.iter().all(|finding| finding.status != Status::Fail);
        if self.json {
            let checks: Vec<_> = findings
                .iter()
                .map(|f| json!({ "name": f.name, "status": f.status.name(), "text": f.text }))
                .collect();
            println!("{}", json!({ "event": "check", "ok": good, "running": running, "checks": checks }));
        } else {
            for Finding { name, status, text } in findings {
                println!("  {:<4}  {name:<16} {text}", status.name());
            }
        }
    }
}

fn permissions(data: &Path) -> Finding {
    let mode = |path: &Path| fs::metadata(path).map(|meta| meta.permissions().mode() & 0o777);
    let mut open = Vec::new();
    match mode(data) {
        Ok(0o700) => {}
        Ok(other) => open.push(format!("the directory is {other:04o}")),
        Err(error) => return finding("permissions", Status::Fail, error.to_string()),
    }
    let journal = journal_beside(Path::new(DATABASE));
    for name in [Path::new(TLS_KEY), Path::new(OPAQUE_SETUP), Path::new(DATABASE), &journal] {
        if let Ok(mode) = mode(&data.join(name))
            && mode & 0o077 != 0
        {
            open.push(format!("{} is {mode:04o}", name.display()));
        }
    }
    if open.is_empty() {
        finding("permissions", Status::Ok, format!("{} is 0700, its files are private", data.display()))
    } else {
        let text = format!("{}: others can read; run chmod -R go= {}", open.join(", "), data.display());
        finding("permissions", Status::Fail, text)
    }
}

fn disk(data: &Path, min: u64) -> Finding {
    const MIB: u64 = 1024 * 1024;
    match disk_free(data) {
        Ok(free) if free < min => finding(
            "disk",
            Status::Fail,
            format!("{} MiB free, below {} MiB nothing new is accepted: make room", free / MIB, min / MIB),
        ),
        Ok(free) if free < min.saturating_mul(4) => finding(
            "disk",
            Status::Warn,
            format!("{} MiB free; below {} MiB nothing new is accepted", free / MIB, min / MIB),
        ),
        Ok(free) => finding("disk", Status::Ok, format!("{} MiB free", free / MIB)),
        Err(error) => finding("disk", Status::Fail, format!("cannot tell how much is free: {error}")),
    }
}

fn port(config: &Config) -> Finding {
    match bind(config.listen) {
        Ok(_) => finding("port", Status::Ok, format!("{} (UDP) is free", config.listen)),
        Err(error) => finding(
            "port",
            Status::Fail,
            format!(
                "cannot listen on {}: {error}; choose another with --listen, or stop what uses it",
                config.listen
            ),
        ),
    }
}

fn certificate(config: &Config) -> Finding {
    let data = &config.data;
    let own = config.own_certificate();
    let self_made = own.is_none();
    let files =
        own.unwrap_or_else(|| CertificateFiles { cert: data.join(TLS_CERT), key: data.join(TLS_KEY) });
    if self_made && !files.key.exists() {
        return finding("certificate", Status::Ok, "will be made at the first start");
    }
    match Certificate::load(files.clone()) {
        Err(error) => finding("certificate", Status::Fail, error.to_string()),
        Ok(loaded) if self_made => {
            finding("certificate", Status::Ok, format!("self-made, pinned as {}", loaded.fingerprint()))
        }
        Ok(_) => match days_left(&files.cert) {
            Some(days) if days < 0 => finding("certificate", Status::Fail, "expired: renew it"),
            Some(days) if days < 7 => finding("certificate", Status::Warn, format!("expires in {days} days")),
            Some(days) => finding("certificate", Status::Ok, format!("the operator's, {days} days left")),
            None => finding("certificate", Status::Warn, "its end cannot be read"),
        },
    }
}

fn days_left(path: &Path) -> Option<i64> {
    use rustls::pki_types::{CertificateDer, pem::PemObject};
    let pem = read_private(path).ok()??;
    let der = CertificateDer::from_pem_slice(&pem).ok()?;
    let (_, cert) = x509_parser::parse_x509_certificate(&der).ok()?;
    let end = cert.validity().not_after.timestamp();
    Some((end - jiff::Timestamp::now().as_second()).div_euclid(24 * 3600))
}

fn passphrase_keys(data: &Path) -> Finding {
    let keys = match read_private(&data.join(OPAQUE_SETUP)) {
        Ok(Some(keys)) => keys,
        Ok(None) if data.join(DATABASE).exists() => {
            return finding(
                "passphrase keys",
                Status::Fail,
                format!("{OPAQUE_SETUP} is missing: restore it from a backup"),
            );
        }
        Ok(None) => return finding("passphrase keys", Status::Ok, "will be made at the first start"),
        Err(error) => return finding("passphrase keys", Status::Fail, error.to_string()),
    };
    if subrosa_verify::opaque::RelayOpaque::from_bytes(&keys).is_err() {
        return finding(
            "passphrase keys",
            Status::Fail,
            format!("{OPAQUE_SETUP} is damaged: restore it from a backup"),
        );
    }
    match read_private(&data.join(BACKED_UP)) {
        Ok(Some(noted)) if noted == Sha256::digest(&keys).as_slice() => {
            finding("passphrase keys", Status::Ok, "noted as backed up")
        }
        _ => finding(
            "passphrase keys",
            Status::Warn,
            format!(
                "no backup of {} is noted; lose it and every passphrase of this relay is dead. Copy it to a safe place, \
                 then run rosad check --backed-up",
                data.join(OPAQUE_SETUP).display()
            ),
        ),
    }
}

fn note_backup(data: &Path) -> Result<(), String> {
    use std::{io::Write, os::unix::fs::OpenOptionsExt};
    let keys = read_private(&data.join(OPAQUE_SETUP))
        .map_err(|error| error.to_string())?
        .ok_or_else(|| format!("there is no {OPAQUE_SETUP} yet: start the relay first"))?;
    let path = data.join(BACKED_UP);
    let write = || -> io::Result<()> {
        let mut file =
            fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
        file.write_all(&Sha256::digest(&keys))
    };
    write().map_err(|error| format!("cannot write {}: {error}", path.display()))
}

fn database(data: &Path) -> Finding {
    let path = data.join(DATABASE);
    if !path.exists() {
        return finding("database", Status::Ok, "will be made at the first start");
    }
    match inspect(&path) {
        Err(error) => finding("database", Status::Fail, error.to_string()),
        Ok(seen) => match seen.problem {
            Some(problem) => {
                finding("database", Status::Fail, format!("damaged: {problem}; restore a backup"))
            }
            None if seen.schema_version > seen.newest_known => finding(
                "database",
                Status::Fail,
                format!(
                    "schema version {} is newer than this rosad knows ({})",
                    seen.schema_version, seen.newest_known
                ),
            ),
            None if seen.schema_version < seen.newest_known => finding(
                "database",
                Status::Ok,
                format!(
                    "sound; schema version {} becomes {} at the next start, after a backup",
                    seen.schema_version, seen.newest_known
                ),
            ),
            None => finding("database", Status::Ok, format!("sound, schema version {}", seen.schema_version)),
        },
    }
}

/// The journal of a relay that does not run; a running one has looked itself, and writes to it.
fn journal(data: &Path) -> Option<Finding> {
    let path = data.join(DATABASE);
    if !path.exists() {
        return None;
    }
    Some(match inspect_journal(&path) {
        Err(error) => finding("journal", Status::Fail, error.to_string()),
        Ok(0) => finding("journal", Status::Ok, "nothing waits in it"),
        Ok(batches) => finding(
            "journal",
            Status::Ok,
            format!("sound, {batches} batches come into the database at the next start"),
        ),
    })
}

/// How the running relay is, and whether it says nothing at all.
async fn answers(data: &Path) -> (Finding, bool) {
    match ask(data, &AdminRequest::Status {}).await {
        Ok(status) => (service(&status), false),
        Err(error) => {
            let silent = error.kind() == io::ErrorKind::TimedOut;
            (finding("service", Status::Fail, format!("the running relay does not serve: {error}")), silent)
        }
    }
}

fn service(status: &serde_json::Value) -> Finding {
    if status.get("ok") != Some(&json!(true)) {
        return finding("service", Status::Fail, status.to_string());
    }
    let number = |name: &str| status.get(name).and_then(serde_json::Value::as_u64).unwrap_or(0);
    let text = format!(
        "{} connections, {} accounts, {} envelopes waiting",
        number("connections"),
        number("accounts"),
        number("envelopes"),
    );
    if status.get("accepts_writes") == Some(&json!(true)) {
        finding("service", Status::Ok, text)
    } else {
        finding("service", Status::Fail, format!("{text}; accepts nothing new for want of disk space"))
    }
}
