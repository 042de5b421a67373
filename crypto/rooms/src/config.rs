//! The configuration of every group, and the check that a group has it (R30).

use openmls::group::{MlsGroup, MlsGroupJoinConfig, PURE_CIPHERTEXT_WIRE_FORMAT_POLICY};
use openmls::prelude::{
    Capabilities, CredentialType, Extension, ExtensionType, Extensions, GroupContext, Lifetime,
    ProtocolVersion, RequiredCapabilitiesExtension, SenderRatchetConfiguration, UnknownExtension,
};

use crate::error::Refusal;
use crate::limits::{EXTENSIONS_MAX, FORWARD, LEAVES_MAX, OUT_OF_ORDER, PAST_EPOCHS};
use crate::policy::{POLICY_EXTENSION, Policy};
use subrosa_crypto::mls::Suite;

/// The type of the extension that says when a key package may be used.
pub(crate) const LIFETIME_EXTENSION: u16 = 0xF0A2;

/// MLS's own lifetime is not used: OpenMLS holds it against the system's clock, on the members' side too, so a commit
/// would be refused by whoever reads it late, and the group fork. See [`LIFETIME_EXTENSION`].
pub(crate) fn any_time() -> Lifetime {
    Lifetime::init(0, u64::MAX)
}

/// What every leaf can do, and must.
pub(crate) fn capabilities() -> Capabilities {
    Capabilities::new(
        Some(&[ProtocolVersion::Mls10]),
        Some(&Suite::ALL.map(Suite::mls)),
        Some(&[
            ExtensionType::Unknown(POLICY_EXTENSION),
            ExtensionType::Unknown(LIFETIME_EXTENSION),
            ExtensionType::LastResort,
        ]),
        Some(&[]),
        Some(&[CredentialType::Basic]),
    )
}

fn required() -> RequiredCapabilitiesExtension {
    RequiredCapabilitiesExtension::new(
        &[ExtensionType::Unknown(POLICY_EXTENSION)],
        &[],
        &[CredentialType::Basic],
    )
}

/// How a group is made and joined: encrypted handshakes (an external commit is the one thing in the clear), no padding of
/// MLS's own since plaintexts come padded, the tree in every welcome.
pub(crate) fn join() -> MlsGroupJoinConfig {
    MlsGroupJoinConfig::builder()
        .wire_format_policy(PURE_CIPHERTEXT_WIRE_FORMAT_POLICY)
        .padding_size(0)
        .max_past_epochs(PAST_EPOCHS)
        .number_of_resumption_psks(0)
        .use_ratchet_tree_extension(true)
        .sender_ratchet_configuration(ratchets())
        .build()
}

pub(crate) fn ratchets() -> SenderRatchetConfiguration {
    SenderRatchetConfiguration::new(OUT_OF_ORDER, FORWARD)
}

/// The group context's extensions: the required capabilities and the policy, nothing else.
pub(crate) fn extensions(policy: &Policy) -> Result<Extensions<GroupContext>, Refusal> {
    let policy = Extension::Unknown(POLICY_EXTENSION, UnknownExtension(policy.to_bytes()));
    Extensions::from_vec(vec![Extension::RequiredCapabilities(required()), policy])
        .map_err(|_| Refusal::Extension)
}

/// The policy in a group context, whose extensions are exactly the ones every group has.
pub(crate) fn policy_of(context: &Extensions<GroupContext>) -> Result<Policy, Refusal> {
    let exact = context.iter().count() == 2
        && context.required_capabilities().is_some_and(|found| {
            found.extension_types() == required().extension_types()
                && found.proposal_types().is_empty()
                && found.credential_types() == required().credential_types()
        });
    let policy = context.unknown(POLICY_EXTENSION).filter(|_| exact).ok_or(Refusal::Extension)?;
    if policy.0.len() > EXTENSIONS_MAX {
        return Err(Refusal::Extension);
    }
    Policy::from_bytes(&policy.0).map_err(Refusal::Policy)
}

/// Asserts what R30 pins, of a group that was made, joined or loaded.
pub(crate) fn check(group: &MlsGroup) -> Result<Suite, Refusal> {
    let config = group.configuration();
    let pinned = config.wire_format_policy() == PURE_CIPHERTEXT_WIRE_FORMAT_POLICY
        && config.padding_size() == 0
        && config.sender_ratchet_configuration() == &ratchets()
        && *config == join();
    let suite = Suite::from_mls(group.ciphersuite()).filter(|_| pinned).ok_or(Refusal::Config)?;
    if group.members().count() > suite.leaves_max().min(LEAVES_MAX) {
        return Err(Refusal::Full);
    }
    Ok(suite)
}
