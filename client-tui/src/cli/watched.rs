//! An owner of the profile that hangs: it takes connections and says nothing. One that is only busy answers that there is no
//! such method, so that the two can be told apart however long a call may take.

use std::{future::Future, time::Duration};

use subrosa_client::{
    ApiError, Handle, Request,
    api::{Call, Kind, Subscribe},
    attach::Attached,
};
use tokio::time::{Instant, sleep};

/// Between two looks whether the owner is there still.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// The owner of the profile, in another process; every call ends when that process hangs.
pub struct Watched {
    attached: Attached,
    patience: Duration,
}

impl Watched {
    /// `patience` is how long the owner may say nothing at all.
    #[must_use]
    pub const fn new(attached: Attached, patience: Duration) -> Self {
        Self { attached, patience }
    }

    async fn watch<T>(&self, work: impl Future<Output = Result<T, ApiError>>) -> Result<T, ApiError> {
        tokio::select! {
            biased;
            done = work => done,
            () = self.silence() => Err(hangs(self.attached.owner())),
        }
    }

    /// Ends when the owner said nothing for as long as it may. What is answered at once is not asked about.
    async fn silence(&self) {
        let until = Instant::now() + self.patience;
        sleep(self.patience / 10).await;
        let mut within = until.saturating_duration_since(Instant::now());
        while self.attached.answers(within).await {
            sleep(LOOK_AGAIN).await;
            within = self.patience;
        }
    }
}

impl Handle for Watched {
    fn call(&self, request: Request) -> Call<'_> {
        Box::pin(self.watch(self.attached.call(request)))
    }

    fn subscribe(&self) -> Subscribe<'_> {
        Box::pin(self.watch(self.attached.subscribe()))
    }
}

/// The process that owns the profile is there and says nothing.
#[must_use]
pub fn hangs(pid: Option<u32>) -> ApiError {
    let pid = pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default();
    ApiError::new(Kind::NotReady, format!("the process that owns the profile{pid} does not answer"))
        .hint("end it if it hangs, and run this again; what was queued stays queued, and with --key nothing is sent twice")
}
