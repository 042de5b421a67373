//! The terminal at the edge: bytes out, keys in, and what else a terminal can do. Nothing here decides anything.

pub mod editor;
pub mod input;
pub mod painter;
mod screen;
pub mod sequences;

pub use screen::{Screen, panicked, restore_on_panic};
