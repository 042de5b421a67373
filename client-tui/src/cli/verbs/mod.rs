//! A file a verb: its arguments and what it does. To add one: a file here, a line in [`super::args::Verb`], a line in [`run`].

use std::sync::Arc;

use super::{args::Verb, context::Context, failure::Failure};

pub mod accept;
pub mod application;
pub mod check;
pub mod completions;
pub mod daemon;
pub mod join;
pub mod login;
pub mod logout;
pub mod ls;
pub mod man;
pub mod recv;
pub mod room;
pub mod search;
pub mod send;
pub mod show;
pub mod status;
pub mod trust;
pub mod verify;
pub mod version;
pub mod whoami;

/// Carries a verb out.
///
/// # Errors
/// Whatever kept it from its end.
pub async fn run(verb: Verb, context: &Arc<Context>) -> Result<(), Failure> {
    match verb {
        Verb::Join(args) => join::run(args, context).await,
        Verb::Login(args) => login::run(args, context).await,
        Verb::Logout(args) => logout::run(args, context).await,
        Verb::Whoami => whoami::run(context).await,
        Verb::Send(args) => send::run(args, context).await,
        Verb::Recv(args) => recv::run(args, context).await,
        Verb::Room(args) => room::run(args, context).await,
        Verb::Ls(args) => ls::run(args, context).await,
        Verb::Show(args) => show::run(args, context).await,
        Verb::Search(args) => search::run(args, context).await,
        Verb::Accept(args) => accept::run(args, context).await,
        Verb::Verify(args) => verify::run(args, context).await,
        Verb::Trust(args) => trust::run(args, context).await,
        Verb::Status => status::run(context).await,
        Verb::Check => check::run(context).await,
        Verb::Version => version::run(context),
        Verb::Completions(args) => completions::run(args, context),
        Verb::Man(args) => man::run(args, context),
        Verb::Daemon => daemon::run(context).await,
        Verb::Demo => crate::demo::run(context).await,
    }
}

impl Verb {
    /// Whether `--timeout` is part of what the verb means; of all others it is the time until they give up.
    #[must_use]
    pub const fn has_own_timeout(&self) -> bool {
        matches!(self, Self::Send(_) | Self::Recv(_) | Self::Daemon | Self::Demo)
    }
}
