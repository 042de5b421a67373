//! Every statement that the operations run in a test is noted, so that its plan can be looked at.

use std::cell::RefCell;

use super::*;

thread_local! {
    static NOTED: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

pub(in crate::store) fn note(sql: &str) {
    NOTED.with_borrow_mut(|noted| noted.push(sql.to_owned()));
}

/// The plans of what `work` ran: one line a step, behind the statement.
fn plans(store: &mut Store, work: impl FnOnce(&Tx<'_>) -> Result<()>) -> Vec<String> {
    NOTED.with_borrow_mut(Vec::clear);
    change(store, work);
    let mut statements = NOTED.with_borrow_mut(std::mem::take);
    statements.sort();
    statements.dedup();
    let mut lines = Vec::new();
    for sql in statements.iter().filter(|sql| !sql.contains("part")) {
        let mut statement = store.raw().prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let mut rows = statement.raw_query();
        while let Some(row) = rows.next().unwrap() {
            lines.push(format!("{} | {}", row.get::<_, String>(3).unwrap(), sql));
        }
    }
    lines
}

/// Steps that look at every row of a table, or sort. The tables named here have a few hundred rows at most.
fn slow(plans: &[String]) -> Vec<&String> {
    let is_slow = |line: &&String| {
        let step = line.split(" | ").next().unwrap();
        let scans = step.strip_prefix("SCAN ").is_some_and(|what| {
            !["deferred", "prekeys", "sqlite_sequence", "CONSTANT ROW"].contains(&what)
                && !what.contains("USING")
                && !what.contains("VIRTUAL TABLE")
        });
        scans || step.contains("TEMP B-TREE")
    };
    plans.iter().filter(is_slow).collect()
}

#[test]
fn a_long_history_is_paged_and_listed_by_index_alone() {
    let mut store = store();
    change(&mut store, |tx| {
        let mut bob = crate::store::Peer::new(name("bob"), 0);
        bob.contact = Some(crate::api::ContactState::Accepted);
        tx.put_peer(&bob)?;
        for number in 0..10_000 {
            tx.insert_message(&text(
                number,
                if number % 2 == 0 { "bob" } else { "alice" },
                "the same words again",
            ))?;
        }
        Ok(())
    });
    let plans = plans(&mut store, |tx| {
        let newest = tx.history(&name("bob").into(), None, None, 50)?;
        assert_eq!(newest.messages.len(), 50);
        tx.history(&name("bob").into(), Some(newest.messages[0].order), None, 50)?;
        tx.history(&name("bob").into(), None, Some(100), 50)?;
        assert_eq!(tx.chats()?.len(), 1);
        assert_eq!(tx.unread(&name("bob").into())?, 5_000);
        assert_eq!(tx.search("words", 20)?.len(), 20);
        tx.message(id(7))?;
        tx.message_from(&name("bob"), id(8))?;
        tx.message_by_key(&name("bob").into(), "k")?;
        tx.mark_read(&name("bob").into(), 500)?;
        tx.unread_total()?;
        Ok(())
    });
    for step in [
        "SEARCH messages USING INDEX messages_chat (chat=? AND place>? AND place<?)",
        "SEARCH messages USING COVERING INDEX messages_unread (chat=?)",
        "SCAN chats USING INDEX chats_rank",
        "SEARCH messages USING INTEGER PRIMARY KEY (rowid=?)",
        "SEARCH messages USING INDEX messages_id (id=? AND sender=?)",
        "SEARCH messages USING INDEX messages_key (chat=? AND key=?)",
    ] {
        assert!(plans.iter().any(|line| line.starts_with(step)), "{step} is not among {plans:#?}");
    }
    assert!(slow(&plans).is_empty(), "{:#?}", slow(&plans));
}

#[test]
fn what_runs_for_every_envelope_looks_rows_up() {
    let mut store = store();
    let (bob, one) = (name("bob"), device(1));
    let plans = plans(&mut store, |tx| {
        tx.session(&bob, one)?;
        tx.put_session(&bob, one, b"record", 1)?;
        tx.advance_outgoing(&bob, one, &[1; 32])?;
        tx.put_sent(
            &bob,
            one,
            &crate::store::Sent { counter: 1, message: id(1), plaintext: vec![0].into() },
            1,
        )?;
        tx.record_incoming(&bob, one, 5, &[1; 32])?;
        tx.record_incoming(&bob, one, 3, &[1; 32])?;
        tx.see_envelope(envelope(1), 1)?;
        tx.envelope_seen(envelope(1))?;
        tx.set_mailbox_cursor(1)?;
        tx.outbox_head(&bob, one, 48, 70_000)?;
        tx.outbox_next_try()?;
        tx.outstanding(id(1), &bob)?;
        tx.has_pending(&bob, Some(one))?;
        tx.pending_for(&bob, 10)?;
        tx.pending_to_encrypt(&bob, 10)?;
        tx.pending_for_device(&bob, one, 10)?;
        tx.has_deferred(&bob)?;
        tx.note_receipt(&bob, id(1), subrosa_protocol::content::ReceiptKind::Read, 5)?;
        tx.next_receipt()?;
        tx.take_early_receipts(&bob, id(1))?;
        tx.peer(&bob)?;
        tx.device_list(&bob)?;
        tx.append_event("alice@r", Timestamp(1), crate::api::EventBody::SyncDone {})?;
        tx.events(Some(0), 10, &[])?;
        tx.expire(1)?;
        {
            use subrosa_rooms::store::{Part, RoomStore};
            tx.put(Part::Tree, b"key", b"value")?;
            tx.get(Part::Tree, b"key")?;
            tx.keys(Part::Proposal, b"group")?;
            tx.remove(Part::Tree, b"key")?;
        }
        Ok(())
    });
    assert!(slow(&plans).is_empty(), "{:#?}", slow(&plans));
}

#[test]
fn a_slow_plan_would_be_found() {
    let mut store = store();
    let plans = plans(&mut store, |tx| {
        tx.all("SELECT place FROM messages WHERE text = ?1 ORDER BY reason", ["x"], |_| Ok(()))?;
        Ok(())
    });
    assert_eq!(slow(&plans).len(), 2, "{plans:#?}");
}
