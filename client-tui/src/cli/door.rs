//! How the application opens and closes the profile.

use std::sync::Arc;

use subrosa_client::{ApiError, Handle, api::Kind, profile::Locked};
use zeroize::Zeroizing;

use super::{
    context::{Context, attach, open_store},
    failure::Failure,
    owner::Role,
    terminal,
    watched::Watched,
};
use crate::app::{Door, Locking, Unlocking};

/// The profile's door: a wrong passphrase stays outside, also where a daemon has the profile open.
pub struct ProfileDoor {
    context: Arc<Context>,
}

impl ProfileDoor {
    /// The door of the context's profile.
    #[must_use]
    pub const fn new(context: Arc<Context>) -> Self {
        Self { context }
    }

    async fn open(&self, passphrase: Zeroizing<String>) -> Result<Arc<dyn Handle>, Failure> {
        let paths = self.context.existing()?;
        if let Some(attached) = attach(&paths).await? {
            let checked =
                terminal::blocking(move || Locked::check_passphrase(&paths, passphrase.as_bytes())).await?;
            checked?;
            return Ok(Arc::new(Watched::new(attached, self.context.patience())));
        }
        let store = open_store(&paths, passphrase).await?;
        self.context.own(store, Role::Passing).await
    }
}

impl Door for ProfileDoor {
    fn unlock(&self, passphrase: Zeroizing<String>) -> Unlocking<'_> {
        Box::pin(async {
            self.open(passphrase).await.map_err(|failure| match failure {
                Failure::Error(error) => *error,
                Failure::Closed | Failure::Signal(_) => ApiError::new(Kind::Internal, "interrupted"),
            })
        })
    }

    fn lock(&self) -> Locking<'_> {
        Box::pin(self.context.close())
    }
}
