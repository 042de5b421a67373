//! What the fuzz targets (R10) do with their input: each checks properties, not only the absence of panics.
//!
//! cargo-fuzz calls the bodies with what libFuzzer thinks up (`fuzz/fuzz_targets/`), the test `quick` with the committed
//! corpus and a few thousand seeded mutations of it. A body panics when a property does not hold.
//!
//! | module | what its target holds |
//! |---|---|
//! | [`frame_decode`] | frames: any split gives the same, canonical, nothing allocated on a claim |
//! | [`envelope_decode`] | envelopes and all that is inside and around them: canonical, forgeries do not open |
//! | [`dr_session`] | two parties with any schedule of faults agree in the end (I1, I2, R16) |
//! | [`pqxdh_bundle`] | bundles and initial messages: what verifies is genuine, no fallback (R11, R12, R16) |
//! | [`mls_inbound`] | rooms: what is not genuine is refused and changes nothing (R16, R33) |
//! | [`terminal_sanitize`] | foreign text: allowed characters only, stable, bounded (R39, R48) |
//! | `rpc_json` | the local socket: well-formed answers with the right id (R50); feature `client` |
//! | `auth_state` | a relay's connection: no device without its signature (R9); feature `relay` |
//! | [`script`], [`rng`], [`party`] | input as a script, seeded randomness, devices with their prekeys |
//! | [`corpus`] | the committed corpus, where it comes from, and mutations of it |

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[cfg(feature = "relay")]
pub mod auth_state;
pub mod corpus;
pub mod dr_session;
pub mod envelope_decode;
pub mod frame_decode;
pub mod mls_inbound;
pub mod party;
pub mod pqxdh_bundle;
pub mod rng;
#[cfg(feature = "client")]
pub mod rpc_json;
pub mod script;
pub mod terminal_sanitize;
