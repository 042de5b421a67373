//! rosa: the terminal application, its line mode, and the one-shot verbs.
//!
//! | module | what it does |
//! |---|---|
//! | [`app`] | the terminal application and its line mode: model, update, view, terminal |
//! | [`cli`] | the command line: its verbs and how they end |
//! | [`demo`] | a relay and two accounts in one process, to try it |
//! | [`secrets`] | passphrases: where they come from and how strong they are |

#![warn(missing_docs)]

pub mod app;
pub mod cli;
pub mod demo;
pub mod secrets;
