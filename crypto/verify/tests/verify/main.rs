//! The tests of the public interface: golden bytes, canonical encodings, signatures and chains.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod auth;
mod common;
mod device_list;
mod labels;
mod no_decryption;
mod prekey;
