//! `rosa version`: of the program and of the protocol.

use serde_json::json;
use subrosa_protocol::version::{MAX_VERSION, MIN_VERSION};

use crate::cli::{context::Context, failure::Failure};

/// # Errors
/// When standard output cannot be written.
pub fn run(context: &Context) -> Result<(), Failure> {
    let version = env!("CARGO_PKG_VERSION");
    let value = json!({ "version": version, "protocol": { "min": MIN_VERSION, "max": MAX_VERSION } });
    context.out.either(&value, || format!("rosa {version}, protocol {MIN_VERSION} to {MAX_VERSION}"))
}
