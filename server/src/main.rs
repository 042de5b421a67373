//! The program `rosad`. All of it is in the library.

use std::process::ExitCode;

use clap::Parser;
use subrosa_server::cli::{Cli, run};

#[tokio::main]
async fn main() -> ExitCode {
    run(Cli::parse()).await
}
