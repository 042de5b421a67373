//! The yardstick of benches with rooms: OpenMLS alone, with its own primitives and a map in memory.

use openmls::{
    group::{MlsGroup, MlsGroupCreateConfig, MlsGroupJoinConfig, StagedWelcome},
    prelude::{
        BasicCredential, Capabilities, Ciphersuite, CredentialWithKey, KeyPackage, LeafNodeParameters,
        MlsMessageBodyIn, MlsMessageIn, OpenMlsProvider, ProcessedMessageContent, SenderRatchetConfiguration,
    },
};
use openmls_libcrux_crypto::Provider;
use openmls_traits::{
    crypto::OpenMlsCrypto,
    signatures::{Signer, SignerError},
    types::SignatureScheme,
};
use subrosa_rooms::limits;

/// OpenMLS with its own primitives and a map in memory.
pub(crate) struct Alone {
    provider: Provider,
    credential: CredentialWithKey,
    key: Vec<u8>,
    group: Option<MlsGroup>,
}

impl Signer for Alone {
    fn sign(&self, payload: &[u8]) -> Result<Vec<u8>, SignerError> {
        self.provider
            .crypto()
            .sign(SignatureScheme::ED25519, payload, &self.key)
            .map_err(SignerError::CryptoError)
    }

    fn signature_scheme(&self) -> SignatureScheme {
        SignatureScheme::ED25519
    }
}

/// The same key again, to sign with while the group is borrowed.
struct Key<'a>(&'a Provider, &'a [u8]);

impl Signer for Key<'_> {
    fn sign(&self, payload: &[u8]) -> Result<Vec<u8>, SignerError> {
        self.0.crypto().sign(SignatureScheme::ED25519, payload, self.1).map_err(SignerError::CryptoError)
    }

    fn signature_scheme(&self) -> SignatureScheme {
        SignatureScheme::ED25519
    }
}

fn join_config() -> MlsGroupJoinConfig {
    MlsGroupJoinConfig::builder()
        .max_past_epochs(limits::PAST_EPOCHS)
        .use_ratchet_tree_extension(true)
        .sender_ratchet_configuration(ratchets())
        .build()
}

fn ratchets() -> SenderRatchetConfiguration {
    SenderRatchetConfiguration::new(limits::OUT_OF_ORDER, limits::FORWARD)
}

impl Alone {
    pub(crate) fn new(name: &str) -> Self {
        let provider = Provider::new().unwrap();
        let (key, public) = provider.crypto().signature_key_gen(SignatureScheme::ED25519).unwrap();
        let credential = CredentialWithKey {
            credential: BasicCredential::new(name.as_bytes().to_vec()).into(),
            signature_key: public.as_slice().into(),
        };
        Self { provider, credential, key, group: None }
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::for_provider(self.provider.crypto())
    }

    pub(crate) fn package(&self, suite: Ciphersuite) -> KeyPackage {
        let builder = KeyPackage::builder().leaf_node_capabilities(self.capabilities());
        builder.build(suite, &self.provider, self, self.credential.clone()).unwrap().into_key_package()
    }

    /// Makes a group.
    pub(crate) fn create(&mut self, suite: Ciphersuite) {
        let config = MlsGroupCreateConfig::builder()
            .ciphersuite(suite)
            .capabilities(self.capabilities())
            .max_past_epochs(limits::PAST_EPOCHS)
            .use_ratchet_tree_extension(true)
            .sender_ratchet_configuration(ratchets())
            .build();
        let group = MlsGroup::new(&self.provider, self, &config, self.credential.clone());
        self.group = Some(group.unwrap());
    }

    /// An encrypted message.
    pub(crate) fn seal(&mut self, bytes: &[u8]) -> Vec<u8> {
        let Self { provider, key, group, .. } = self;
        let sealed = group.as_mut().unwrap().create_message(provider, &Key(provider, key), bytes);
        sealed.unwrap().to_bytes().unwrap()
    }

    /// What somebody joins from outside with.
    pub(crate) fn group_info(&self) -> Vec<u8> {
        let group = self.group.as_ref().unwrap();
        let info = group.export_group_info(self.provider.crypto(), &Key(&self.provider, &self.key), true);
        info.unwrap().to_bytes().unwrap()
    }

    /// Joins from outside: the commit, and what the next one joins with.
    pub(crate) fn join_from_outside(&mut self, group_info: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let MlsMessageBodyIn::GroupInfo(info) = read(group_info).extract() else { panic!("no group info") };
        let Self { provider, key, group, credential } = self;
        let leaf = LeafNodeParameters::builder()
            .with_capabilities(Capabilities::for_provider(provider.crypto()))
            .build();
        let (joined, bundle) = MlsGroup::external_commit_builder()
            .with_config(join_config())
            .build_group(provider, info, credential.clone())
            .unwrap()
            .leaf_node_parameters(leaf)
            .load_psks(provider.storage())
            .unwrap()
            .create_group_info(true)
            .use_ratchet_tree_extension(true)
            .build(provider.rand(), provider.crypto(), &Key(provider, key), |_| true)
            .unwrap()
            .finalize(provider)
            .unwrap();
        *group = Some(joined);
        let (commit, _, info) = bundle.into_messages();
        (commit.to_bytes().unwrap(), info.unwrap().to_bytes().unwrap())
    }

    /// A commit, merged: its bytes and the welcome.
    pub(crate) fn commit(
        &mut self,
        add: Vec<KeyPackage>,
        remove: Option<&[u8]>,
        renew: bool,
    ) -> (Vec<u8>, Option<Vec<u8>>) {
        let Self { provider, key, group, .. } = self;
        let group = group.as_mut().unwrap();
        let gone =
            remove.and_then(|name| group.members().find(|m| m.credential.serialized_content() == name));
        let made = group
            .commit_builder()
            .force_self_update(renew)
            .propose_adds(add)
            .propose_removals(gone.map(|member| member.index))
            .load_psks(provider.storage())
            .unwrap()
            .build(provider.rand(), provider.crypto(), &Key(provider, key), |_| true)
            .unwrap()
            .stage_commit(provider)
            .unwrap();
        let (commit, welcome, _) = made.into_messages();
        group.merge_pending_commit(provider).unwrap();
        (commit.to_bytes().unwrap(), welcome.map(|welcome| welcome.to_bytes().unwrap()))
    }

    pub(crate) fn read(&mut self, bytes: &[u8]) {
        let message = read(bytes).try_into_protocol_message().unwrap();
        let group = self.group.as_mut().unwrap();
        match group.process_message(&self.provider, message).unwrap().into_content() {
            ProcessedMessageContent::StagedCommitMessage(staged) => {
                group.merge_staged_commit(&self.provider, *staged).unwrap();
            }
            ProcessedMessageContent::ApplicationMessage(_) => {}
            _ => panic!("neither a commit nor a message"),
        }
    }

    pub(crate) fn join(&mut self, welcome: &[u8]) {
        let welcome = match read(welcome).extract() {
            MlsMessageBodyIn::Welcome(welcome) => welcome,
            _ => panic!("no welcome"),
        };
        let staged = StagedWelcome::new_from_welcome(&self.provider, &join_config(), welcome, None).unwrap();
        self.group = Some(staged.into_group(&self.provider).unwrap());
    }
}

fn read(bytes: &[u8]) -> MlsMessageIn {
    <MlsMessageIn as openmls::prelude::tls_codec::Deserialize>::tls_deserialize_exact(bytes).unwrap()
}
