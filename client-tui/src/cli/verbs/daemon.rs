//! `rosa daemon`: owns the profile without a screen and serves its socket until SIGTERM, SIGINT, SIGHUP or
//! `system.shutdown`; then it flushes and ends with 0.

use std::{
    os::unix::net::UnixDatagram,
    sync::atomic::{AtomicBool, Ordering},
};

use serde_json::json;
use subrosa_client::{Reply, Request, profile::ProfilePaths};

use crate::cli::{
    context::{Context, reply_of},
    failure::Failure,
    owner::Role,
    signals::Signals,
};

/// # Errors
/// When the profile cannot be opened here or its socket cannot be served.
pub async fn run(context: &Context) -> Result<(), Failure> {
    let mut signals = Signals::listen()?;
    let serving = AtomicBool::new(false);
    // Flushing and closing happens where every verb ends.
    tokio::select! {
        number = signals.next() => {
            if !serving.load(Ordering::Relaxed) {
                return Err(Failure::Signal(number));
            }
        }
        outcome = serve(context, &serving) => outcome?,
    }
    tell_service_manager("STOPPING=1");
    Ok(())
}

async fn serve(context: &Context, serving: &AtomicBool) -> Result<(), Failure> {
    let paths = context.paths()?;
    let handle = context.open_as_owner(Role::Daemon).await?;
    let reply = context.call(&*handle, Request::AccountShow {}).await?;
    let account = reply_of!(reply, Reply::Account(account) => account)?;
    serving.store(true, Ordering::Relaxed);
    ready(context, &paths, &account.address)?;
    tell_service_manager("READY=1");
    context.told_to_end().await;
    Ok(())
}

fn ready(context: &Context, paths: &ProfilePaths, account: &str) -> Result<(), Failure> {
    let value = json!({
        "event": "ready",
        "account": account,
        "profile": paths.dir,
        "socket": paths.socket,
        "pid": std::process::id(),
    });
    let said = context.out.either(&value, || {
        format!("{account}: serving {} (pid {})", paths.socket.display(), std::process::id())
    });
    // A service manager may have closed standard output; that ends nothing.
    match said {
        Err(Failure::Closed) => Ok(()),
        other => other,
    }
}

/// systemd's notification protocol, where a service manager listens.
fn tell_service_manager(what: &str) {
    use std::os::{linux::net::SocketAddrExt, unix::net::SocketAddr};
    let Some(socket) = std::env::var_os("NOTIFY_SOCKET") else { return };
    let name = socket.to_string_lossy();
    let address = match name.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(&*name),
    };
    if let (Ok(address), Ok(from)) = (address, UnixDatagram::unbound()) {
        let _ = from.send_to_addr(what.as_bytes(), &address);
    }
}
