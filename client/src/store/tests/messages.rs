use proptest::prelude::*;

use super::*;
use crate::{
    api::{ContactState, EventBody, MessageEvent},
    store::{Peer, StoreError, limits},
};

fn with_bob() -> Store {
    let mut store = store();
    change(&mut store, |tx| {
        let mut bob = Peer::new(name("bob"), 0);
        bob.contact = Some(ContactState::Accepted);
        tx.put_peer(&bob)
    });
    store
}

fn insert(store: &mut Store, message: &NewMessage) -> crate::api::Message {
    change(store, |tx| tx.insert_message(message)).unwrap()
}

#[test]
fn a_line_comes_back_as_it_was_stored() {
    let mut store = with_bob();
    let kinds = [
        MessageKind::Text { text: SafeText::multi_line("ü\n\tz") },
        MessageKind::Missing { count: u64::from(u32::MAX) + 5 },
        MessageKind::Undecryptable {},
        MessageKind::NewerVersion {},
        MessageKind::IdentityChanged {},
        MessageKind::IdentityTrusted {},
        MessageKind::IdentityVerified {},
        MessageKind::DeviceAdded { device: u32::MAX },
        MessageKind::DeviceRemoved { device: 3 },
        MessageKind::ListForked {},
    ];
    for (number, kind) in (0u64..).zip(kinds) {
        let new = NewMessage {
            kind: kind.clone(),
            reply_to: Some(id(77)),
            reason: Some(SafeText::single_line("waiting")),
            verified: true,
            key: Some(format!("k{number}")),
            ..text(number, "bob", "")
        };
        let stored = insert(&mut store, &new);
        assert_eq!(stored.kind, kind);
        assert_eq!(stored.reply_to, Some(id(77).to_string()));
        assert_eq!(stored.reason.as_deref(), Some("waiting"));
        assert!(stored.verified);
        assert_eq!((stored.id.as_str(), stored.from.as_str()), (id(number).to_string().as_str(), "bob"));
        look(&store, |tx| {
            assert_eq!(tx.message(id(number))?.as_ref(), Some(&stored));
            assert_eq!(tx.message_at(stored.order)?.as_ref(), Some(&stored));
            assert_eq!(
                tx.message_by_key(&name("bob").into(), &format!("k{number}"))?.as_ref(),
                Some(&stored)
            );
            Ok(())
        });
    }
    // Lines without a text do not make the search index look damaged.
    assert!(store.check().iter().all(|item| item.ok), "{:?}", store.check());
}

#[test]
fn a_message_is_stored_once_a_sender() {
    let mut store = with_bob();
    let first = insert(&mut store, &text(1, "bob", "one"));
    assert_eq!(change(&mut store, |tx| tx.insert_message(&text(1, "bob", "altered"))), None);
    let other = NewMessage { from: name("eve"), ..text(1, "bob", "eve took bob's id") };
    assert!(change(&mut store, |tx| tx.insert_message(&other)).is_some());
    look(&store, |tx| {
        assert_eq!(tx.message_from(&name("bob"), id(1))?.as_ref(), Some(&first));
        assert_eq!(tx.message(id(1))?.as_ref(), Some(&first));
        Ok(())
    });
}

#[test]
fn pages_of_history_meet_without_gap_or_overlap() {
    let mut store = with_bob();
    for number in 0..25 {
        insert(&mut store, &text(number, "bob", "x"));
        insert(&mut store, &NewMessage { chat: name("eve").into(), ..text(number, "eve", "elsewhere") });
    }
    let bob = name("bob");
    let (mut seen, mut before) = (Vec::new(), None);
    loop {
        let page = look(&store, |tx| tx.history(&bob.clone().into(), before, None, 10));
        assert_eq!(page.more_after, before.is_some());
        before = page.messages.first().map(|m| m.order);
        seen.splice(0..0, page.messages);
        if !page.more_before {
            break;
        }
    }
    assert_eq!(seen.len(), 25);
    assert!(seen.is_sorted_by_key(|m| m.order) && seen.iter().all(|m| m.chat == "bob"));

    let after = look(&store, |tx| tx.history(&bob.clone().into(), None, Some(seen[9].order), 10));
    assert_eq!(after.messages, seen[10..20]);
    assert!(after.more_before && after.more_after);
    let end = look(&store, |tx| tx.history(&bob.clone().into(), None, Some(seen[24].order), 10));
    assert!(end.messages.is_empty() && end.more_before && !end.more_after);
    let between =
        look(&store, |tx| tx.history(&bob.clone().into(), Some(seen[5].order), Some(seen[1].order), 10));
    assert_eq!(between.messages, seen[2..5]);
    let nobody = look(&store, |tx| tx.history(&name("nobody").into(), None, None, 10));
    assert!(nobody.messages.is_empty() && !nobody.more_before && !nobody.more_after);
}

#[test]
fn a_page_has_a_limit() {
    let mut store = with_bob();
    change(&mut store, |tx| {
        for number in 0..u64::from(limits::HISTORY_PAGE) + 1 {
            tx.insert_message(&text(number, "bob", "x"))?;
        }
        Ok(())
    });
    let page = look(&store, |tx| tx.history(&name("bob").into(), None, None, u32::MAX));
    assert_eq!(page.messages.len(), limits::HISTORY_PAGE as usize);
}

#[test]
fn reading_moves_forward_and_tells_each_message_once() {
    let mut store = with_bob();
    let orders: Vec<i64> = (0..4).map(|n| insert(&mut store, &text(n, "bob", "x")).order).collect();
    let own = insert(&mut store, &text(9, "alice", "mine")).order;
    let bob = name("bob");
    let read = change(&mut store, |tx| tx.mark_read(&bob.clone().into(), orders[1]));
    assert_eq!(read.iter().map(|m| m.id).collect::<Vec<_>>(), [id(0), id(1)]);
    assert!(change(&mut store, |tx| tx.mark_read(&bob.clone().into(), orders[1])).is_empty());
    look(&store, |tx| {
        let chat = tx.chat(&bob.clone().into())?.unwrap();
        assert_eq!((chat.unread, chat.read_up_to), (2, orders[1]));
        assert_eq!(chat.last.unwrap().order, own);
        assert_eq!(tx.message_at(own)?.unwrap().state, MessageState::Queued);
        Ok(())
    });
    assert_eq!(change(&mut store, |tx| tx.mark_read(&bob.clone().into(), i64::MAX)).len(), 2);
    let chat = look(&store, |tx| tx.chat(&bob.clone().into())).unwrap();
    assert_eq!((chat.unread, chat.read_up_to), (0, own));
    assert!(change(&mut store, |tx| tx.mark_read(&bob.clone().into(), 0)).is_empty());
    assert_eq!(look(&store, |tx| tx.chat(&bob.clone().into())).unwrap().read_up_to, own);
}

#[test]
fn a_message_only_moves_forward() {
    use MessageState::{Accepted, Delivered, Failed, Held, Queued, Read, Received};
    let mut store = with_bob();
    let order = insert(&mut store, &NewMessage { state: Held, ..text(1, "alice", "x") }).order;
    let mut step = |state| change(&mut store, |tx| tx.advance_message(order, state)).map(|m| m.state);
    assert_eq!(step(Queued), Some(Queued));
    assert_eq!(step(Held), None);
    assert_eq!(step(Delivered), Some(Delivered));
    assert_eq!(step(Accepted), None);
    assert_eq!(step(Failed), None);
    assert_eq!(step(Received), None);
    assert_eq!(step(Read), Some(Read));
    assert_eq!(step(Delivered), None);

    let order = insert(&mut store, &text(2, "alice", "x")).order;
    change(&mut store, |tx| tx.set_message_state(order, Failed, Some(&SafeText::single_line("too old"))));
    let mut step = |state| change(&mut store, |tx| tx.advance_message(order, state));
    assert_eq!(step(Accepted), None);
    assert_eq!(step(Delivered).map(|m| m.reason), Some(None));

    let order = insert(&mut store, &text(3, "bob", "x")).order;
    assert_eq!(change(&mut store, |tx| tx.advance_message(order, Read)), None);
}

#[test]
fn chats_come_most_recent_first_and_keep_drafts() {
    let mut store = with_bob();
    change(&mut store, |tx| {
        for who in ["carol", "dave"] {
            let mut peer = Peer::new(name(who), 0);
            peer.contact = Some(ContactState::Added);
            tx.put_peer(&peer)?;
        }
        Ok(())
    });
    insert(
        &mut store,
        &NewMessage { chat: name("carol").into(), from: name("carol"), ..text(1, "carol", "x") },
    );
    insert(&mut store, &text(2, "bob", "y"));
    let names = |store: &Store| look(store, |tx| tx.chats()).into_iter().map(|c| c.chat).collect::<Vec<_>>();
    assert_eq!(names(&store), ["bob", "carol", "dave"]);
    change(&mut store, |tx| tx.set_draft(&name("bob").into(), "half a th"));
    assert_eq!(look(&store, |tx| tx.chat(&name("bob").into())).unwrap().draft, "half a th");
    change(&mut store, |tx| tx.set_draft(&name("bob").into(), ""));
    assert_eq!(look(&store, |tx| tx.chat(&name("bob").into())).unwrap().draft, "");
    let long = "x".repeat(limits::DRAFT_BYTES + 1);
    assert!(store.transaction(|tx| tx.set_draft(&name("bob").into(), &long)).is_err());
    insert(
        &mut store,
        &NewMessage { chat: name("stranger").into(), from: name("stranger"), ..text(3, "stranger", "z") },
    );
    assert_eq!(names(&store), ["bob", "carol", "dave"], "only contacts have chats in the list");
}

#[test]
fn search_finds_words_whatever_their_case_and_accents() {
    let mut store = with_bob();
    for (number, words) in
        [(1, "Grüße aus Köln"), (2, "the cat sat"), (3, "Concatenate OR not"), (4, "cat and dog")]
    {
        insert(&mut store, &text(number, "bob", words));
    }
    let find = |query: &str| {
        let hits = look(&store, |tx| tx.search(query, 10));
        hits.into_iter().map(|hit| hit.message.id.parse::<MessageId>().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(find("CAT"), [id(4), id(2)], "newest first");
    assert_eq!(find("cat dog"), [id(4)]);
    assert_eq!(find("grusse"), [], "ß is not ss");
    assert_eq!(find("koln"), [id(1)]);
    assert_eq!(find("conc"), [id(3)], "the last word may be unfinished");
    assert_eq!(find("or"), [id(3)], "operators are words");
    assert_eq!(find("cat NOT dog"), []);
    assert_eq!(find("\"cat"), [id(4), id(2)]);
    assert_eq!(find("text:cat"), []);
    assert_eq!(find(""), []);
    assert_eq!(look(&store, |tx| tx.search("cat", 1)).len(), 1);
}

#[test]
fn deleting_a_message_takes_everything_with_it() {
    let mut store = with_bob();
    let bob = name("bob");
    let mine = insert(&mut store, &text(1, "alice", "the secret plan"));
    let event = MessageEvent {
        mention: false,
        id: mine.id.clone(),
        chat: "bob".into(),
        from: "alice".into(),
        device: 1,
        text: SafeText::multi_line("the secret plan"),
        reply_to: None,
        expires_at: None,
        verified: false,
        replay: false,
        files: Vec::new(),
        sent_at: Timestamp(1),
        order: mine.order,
    };
    change(&mut store, |tx| {
        tx.append_event("alice@r", Timestamp(1), EventBody::MessageQueued { message: event.clone() })?;
        tx.advance_outgoing(&bob, device(1), &[0; 32])?;
        tx.put_sent(
            &bob,
            device(1),
            &crate::store::Sent { counter: 1, message: id(1), plaintext: b"plan".to_vec().into() },
            1,
        )?;
        tx.push_pending(&crate::store::NewPending {
            account: &bob,
            device: None,
            chat: &bob,
            content: b"plan",
            message: id(1),
            reason: crate::store::HeldFor::Request,
            queued_at: 1,
        })
    });
    // Told again is what was acknowledged before.
    let told = look(&store, |tx| tx.events(None, 10, &[])).events.remove(0);
    assert_eq!(told.body, EventBody::MessageQueued { message: event.clone() });
    change(&mut store, |tx| tx.acknowledge_events(1));
    let told = look(&store, |tx| tx.events(Some(0), 10, &[])).events.remove(0);
    assert_eq!(told.body, EventBody::MessageQueued { message: MessageEvent { replay: true, ..event } });

    assert!(change(&mut store, |tx| tx.delete_message(mine.order)));
    assert!(!change(&mut store, |tx| tx.delete_message(mine.order)));
    look(&store, |tx| {
        assert_eq!(tx.message(id(1))?, None);
        assert!(tx.search("secret", 10)?.is_empty());
        assert_eq!(tx.pending_count()?, 0);
        assert!(tx.sent_between(&bob, device(1), 1, 1)?.is_empty());
        let page = tx.events(Some(0), 10, &[])?;
        assert_eq!(page.events.len(), 1, "the event stays, its text does not");
        assert!(!serde_json::to_string(&page.events).unwrap().contains("secret"));
        Ok(())
    });
    assert!(store.check().iter().all(|item| item.ok), "{:?}", store.check());
}

#[test]
fn bounds_of_a_message() {
    let mut store = with_bob();
    let long_key =
        NewMessage { key: Some("k".repeat(limits::IDEMPOTENCY_KEY_BYTES + 1)), ..text(1, "alice", "x") };
    assert!(store.transaction(|tx| tx.insert_message(&long_key)).is_err());
    let reason = SafeText::single_line(&"r".repeat(limits::REASON_BYTES + 1));
    let long_reason = NewMessage { reason: Some(reason), ..text(1, "alice", "x") };
    assert!(store.transaction(|tx| tx.insert_message(&long_reason)).is_err());
    let far = NewMessage { sent_at: Timestamp(u64::MAX), ..text(1, "bob", "x") };
    assert_eq!(insert(&mut store, &far).sent_at, Timestamp(i64::MAX as u64), "a hostile clock does no harm");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_search_is_answered(query in "\\PC{0,30}|[\"*^:(){}+-]{0,12}|(AND|OR|NOT|NEAR| |cat|\"){0,8}") {
        let mut store = store();
        insert(&mut store, &text(1, "bob", "cat and dog"));
        prop_assert!(store.read(|tx| tx.search(&query, 10)).is_ok());
    }
}

#[test]
fn the_index_of_texts_is_whole_after_a_deletion_that_failed() {
    // SQLite 3.46 forgets that it has noted the first deletion when that is undone.
    let mut store = with_bob();
    let lines: Vec<_> = (1..4)
        .map(|number| insert(&mut store, &text(number, "bob", &format!("word{number}"))).order)
        .collect();
    let failed: Result<()> = store.transaction(|tx| {
        tx.delete_message(lines[0])?;
        Err(StoreError::Limit("anything"))
    });
    assert!(failed.is_err());
    change(&mut store, |tx| tx.delete_message(lines[1]).map(drop));
    change(&mut store, |tx| {
        tx.insert_message(&text(4, "bob", "word4"))?;
        drop(tx.attempt(|_| Err::<(), _>(StoreError::Limit("anything"))));
        Ok(())
    });
    for item in store.check() {
        assert!(item.ok, "{item:?}");
    }
}

#[test]
fn lines_that_move_keep_the_index_of_texts_whole() {
    let mut store = store();
    let chat: crate::chat::ChatId = subrosa_protocol::RoomId::from_bytes([7; 16]).into();
    let words = ["river", "stone", "a river of stone", "light", "river light stone river", "x"];
    let mut seed = 1u64;
    let mut dice = move |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    let mut number = 0u64;
    for step in 0..2_000u32 {
        store.begin_group().unwrap();
        let mut did = Vec::new();
        for _ in 0..1 + dice(3) {
            let (what, said) = (dice(10), words[dice(words.len() as u64) as usize]);
            let (outer, inner) = (dice(4) == 0, dice(3));
            did.push((what, outer, inner));
            number += 1;
            let failed: Result<()> = store.transaction(|tx| {
                let work = |tx: &Tx<'_>| {
                    let mut line = text(number, "alice", said);
                    line.chat = chat.clone();
                    if what < 4 {
                        tx.insert_message(&line)?;
                    } else if what < 7 {
                        line.from = name("bob");
                        line.direction = Direction::In;
                        line.state = MessageState::Received;
                        tx.insert_message(&line)?;
                    } else {
                        let page = tx.history(&chat, None, None, 30)?;
                        let own = page.messages.iter().find(|line| line.state == MessageState::Queued);
                        if let Some(own) = own {
                            tx.advance_message(own.order, MessageState::Accepted)?;
                            tx.place_last(own.order)?;
                        }
                    }
                    if inner == 2 { Err(StoreError::Limit("inner")) } else { Ok(()) }
                };
                if inner == 0 {
                    work(tx)?;
                } else {
                    drop(tx.attempt(work));
                }
                if outer { Err(StoreError::Limit("outer")) } else { Ok(()) }
            });
            drop(failed);
        }
        store.commit_group().unwrap();
        for item in store.check() {
            assert!(item.ok, "step {step} ({did:?}): {item:?}");
        }
    }
}
