//! What the MLS groups of rooms (`subrosa-rooms`) compute with. The groups themselves are in a crate of their own: OpenMLS
//! is compiled for its user, and whoever works on pairwise sessions does not wait for that.
//!
//! | module | what it does |
//! |---|---|
//! | `suite` | the two cipher suites |
//! | `primitives` | the primitives that OpenMLS is given, and its randomness |
//! | `owner_key` | a room's own key (R31) |

mod owner_key;
mod primitives;
mod suite;
#[cfg(test)]
mod tests;

pub use owner_key::OwnerKey;
pub use primitives::{NoRandomness, Primitives};
pub use suite::{HYBRID_LEAVES_MAX, LEAVES_MAX, Suite};
