//! `rosa completions SHELL`.

use clap::CommandFactory;
use clap_complete::Shell;

use crate::cli::{args::Cli, context::Context, failure::Failure};

/// Prints the completions for a shell.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: rosa completions bash > ~/.local/share/bash-completion/completions/rosa")]
pub struct Args {
    /// Which shell
    pub shell: Shell,
}

/// # Errors
/// When standard output cannot be written.
pub fn run(args: Args, context: &Context) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "rosa", &mut script);
    context.out.text(String::from_utf8_lossy(&script).trim_end())
}
