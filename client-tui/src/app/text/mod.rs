//! Text in cells: widths, wrapping, the line editor, times as people read them. Nothing here knows a screen.

pub mod cells;
pub mod editor;
pub mod mention;
pub mod time;
pub mod wrap;
