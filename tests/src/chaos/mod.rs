//! A seeded proxy between clients and a relay that loses, delays, reorders and doubles UDP datagrams, limits their rate,
//! swallows them all for a while, and gives clients new addresses in the middle of a connection.
//!
//! What happens to a datagram is a function of the seed, the direction and the number of the datagram in its direction:
//! the same seed loses the same numbers again. When a datagram gets its number is up to real time, so a run is as
//! repeatable as real time allows. The bytes of a datagram are never changed.
//!
//! | file | what it does |
//! |---|---|
//! | `profile` | which faults there are |
//! | `dice` | what happens to one datagram |
//! | `rate` | a link of a limited rate with a limited queue in front of it |
//! | `lane` | one direction: faults and statistics, without I/O |
//! | `waiting` | datagrams that are on their way, bounded |
//! | `proxy` | the sockets |
//! | `stats` | what was done, in numbers |
//! | `units` | `10%`, `150ms`, `1mbit` |
//!
//! The program `chaos-proxy` is the same by hand; docs/OPERATIONS.md shows how.

mod dice;
mod lane;
mod profile;
mod proxy;
mod rate;
mod stats;
mod units;
mod waiting;

pub use dice::{Dice, Fate};
pub use profile::{Direction, Faults, Profile};
pub use proxy::{ChaosProxy, FLOWS};
pub use rate::QUEUE_BYTES;
pub use stats::{Counts, Stats};
pub use units::{UnitError, parse_duration, parse_rate, parse_share};
pub use waiting::WAITING_BYTES;
