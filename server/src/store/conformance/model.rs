//! A mailbox against a model of it, over random histories.

use std::collections::{BTreeMap, HashSet};

use proptest::{prelude::*, strategy::ValueTree, test_runner::TestRunner};

use crate::store::{Appended, conformance::*};

#[derive(Debug, Clone)]
enum Step {
    /// Sends these ids; few different ones, so that repetitions are common.
    Send(Vec<u8>),
    /// Acknowledges this part of what is there, in 256ths.
    Ack(u8),
    /// Fetches from a place, so many.
    Fetch(u8, u8),
}

#[derive(Default)]
struct Model {
    next_seq: u64,
    waiting: BTreeMap<u64, u128>,
    accepted: HashSet<u128>,
}

impl Model {
    fn send(&mut self, ids: &[u8]) -> Vec<u64> {
        let mut places = Vec::new();
        for id in ids {
            if self.accepted.insert(u128::from(*id)) {
                self.next_seq += 1;
                self.waiting.insert(self.next_seq, u128::from(*id));
                places.push(self.next_seq);
            }
        }
        places
    }
}

pub(in crate::store) async fn a_mailbox_behaves_like_its_model(store: AnyStore) {
    let step = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..6).prop_map(Step::Send),
        any::<u8>().prop_map(Step::Ack),
        (any::<u8>(), 0u8..20).prop_map(|(after, max)| Step::Fetch(after, max)),
    ];
    let histories = proptest::collection::vec(step, 40);
    let mut runner = TestRunner::default();
    join(&store, "sender").await;
    for round in 0..12 {
        let history = histories.new_tree(&mut runner).unwrap().current();
        let account = format!("round{round}");
        join(&store, &account).await;
        play(&store, &account, &history).await;
    }
}

async fn play(store: &AnyStore, account: &str, history: &[Step]) {
    let mut model = Model::default();
    for step in history {
        match step {
            Step::Send(ids) => {
                let envelopes = ids.iter().map(|id| envelope(u128::from(*id), 100)).collect();
                let answer = store.append_envelopes(delivery("sender", account, envelopes)).await.unwrap();
                let Appended::Accepted { fresh, .. } = answer else { panic!("{answer:?}") };
                let places: Vec<u64> = fresh.iter().map(|envelope| envelope.seq).collect();
                assert_eq!(places, model.send(ids), "{history:?}");
            }
            Step::Ack(part) => {
                let up_to = model.next_seq * u64::from(*part) / 256;
                let kept = model.waiting.split_off(&(up_to + 1));
                let gone = std::mem::replace(&mut model.waiting, kept).len() as u64;
                let done = store.ack_mailbox(&name(account), device(1), up_to, 0).await.unwrap().unwrap();
                assert_eq!(done.deleted, gone, "{history:?}");
            }
            Step::Fetch(after, max) => {
                let (after, max) = (u64::from(*after), usize::from(*max));
                let page =
                    store.fetch_mailbox(&name(account), device(1), after, max, 350).await.unwrap().unwrap();
                let left: Vec<_> = model.waiting.range(after + 1..).map(|(seq, id)| (*seq, *id)).collect();
                let got: Vec<_> =
                    page.envelopes.iter().map(|e| (e.seq, u128::from_le_bytes(*e.id.as_bytes()))).collect();
                assert_eq!(got, left[..left.len().min(max).min(3)], "{history:?}");
                assert_eq!(page.more, got.len() < left.len(), "{history:?}");
            }
        }
    }
    let all: Vec<_> = model.waiting.into_iter().collect();
    assert_eq!(mailbox(store, account).await, all, "{history:?}");
}
