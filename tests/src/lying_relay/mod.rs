//! A relay that speaks the protocol as docs/PROTOCOL.md has it, and lies.
