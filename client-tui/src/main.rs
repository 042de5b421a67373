//! `rosa`; everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    rosa::cli::main()
}
