//! Passphrases: where they come from without a terminal, and how strong they are. Never from an argument or the
//! environment, which every process of the machine may read.
//!
//! | module | what it does |
//! |---|---|
//! | [`source`] | `--passphrase-fd`, `--passphrase-file`, `--passphrase-command` |
//! | [`argv`] | a command line to its words, without a shell |
//! | [`strength`] | what a guesser would need |

pub mod argv;
pub mod source;
pub mod strength;

pub use source::Source;
