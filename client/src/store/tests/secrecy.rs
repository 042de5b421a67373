use std::{collections::HashSet, path::Path};

use data_encoding::HEXLOWER;
use rusqlite::MAIN_DB;
use sha2::{Digest, Sha256};

use super::*;
use crate::store::{HeldFor, NewPending, Sent};

const KEY: [u8; 32] = [0x77; 32];
const WORD: &str = "xylophonequartz";

fn open(directory: &Path) -> Store {
    Store::open_at(&directory.join("store.db"), &KEY).unwrap()
}

fn holds(bytes: &[u8], needle: &str) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle.as_bytes())
}

/// Every page of the database as SQLite sees it: decrypted, free ones included.
fn decrypted(store: &Store) -> Vec<u8> {
    store.raw().serialize(MAIN_DB).unwrap().to_vec()
}

/// Puts a word everywhere a message's text goes.
fn fill(store: &mut Store) -> i64 {
    let bob = name("bob");
    change(store, |tx| {
        let order = tx.insert_message(&text(1, "alice", &format!("hello {WORD}")))?.unwrap().order;
        tx.advance_outgoing(&bob, device(1), &[0; 32])?;
        let plaintext = WORD.as_bytes().to_vec().into();
        tx.put_sent(&bob, device(1), &Sent { counter: 1, message: id(1), plaintext }, 1)?;
        tx.push_pending(&NewPending {
            account: &bob,
            device: None,
            chat: &bob,
            content: WORD.as_bytes(),
            message: id(1),
            reason: HeldFor::Request,
            queued_at: 1,
        })?;
        tx.set_draft(&bob.clone().into(), WORD)?;
        Ok(order)
    })
}

#[test]
fn nothing_stands_in_the_files_in_clear() {
    let directory = private_directory();
    let mut store = open(directory.path());
    fill(&mut store);
    let scan = |when: &str| {
        let mut files = 0;
        for entry in directory.path().read_dir().unwrap() {
            let path = entry.unwrap().path();
            let bytes = std::fs::read(&path).unwrap();
            for secret in [
                WORD,
                "hello",
                "unicode61",
                "messages",
                "SQLite format 3",
                std::str::from_utf8(&[0x77; 32]).unwrap(),
            ] {
                assert!(!holds(&bytes, secret), "{secret} stands in {} {when}", path.display());
            }
            files += 1;
        }
        files
    };
    assert_eq!(scan("while open"), 3, "store.db, store.db-wal, store.db-shm");
    store.checkpoint().unwrap();
    scan("after folding in");
    store.close().unwrap();
    assert_eq!(scan("when closed"), 1);
    assert!(holds(&decrypted(&open(directory.path())), WORD), "the scan would have found it");
}

#[test]
fn a_deleted_text_is_gone_even_for_somebody_with_the_key() {
    let directory = private_directory();
    let mut store = open(directory.path());
    // Others before and after, so that its pages and its segment of the search index live on.
    change(&mut store, |tx| {
        for number in 100..400 {
            tx.insert_message(&text(number, "bob", &format!("filler number{number} {}", "pad ".repeat(30))))?;
        }
        Ok(())
    });
    let order = fill(&mut store);
    change(&mut store, |tx| {
        for number in 400..700 {
            tx.insert_message(&text(number, "bob", &format!("filler number{number} {}", "pad ".repeat(30))))?;
        }
        Ok(())
    });
    store.checkpoint().unwrap();
    assert!(holds(&decrypted(&store), WORD));
    // The search index shares the beginnings of neighbouring words: this is the part no other word begins with.
    assert!(holds(&decrypted(&store), "ylophonequartz"));

    change(&mut store, |tx| {
        tx.delete_message(order)?;
        tx.set_draft(&name("bob").into(), "")
    });
    store.checkpoint().unwrap();
    let pages = decrypted(&store);
    for trace in [WORD, "ylophonequartz", "lophonequar"] {
        assert!(!holds(&pages, trace), "{trace} is still there");
    }
    assert!(holds(&pages, "number399"), "others are");
    let wal = std::fs::metadata(directory.path().join("store.db-wal")).unwrap().len();
    assert_eq!(wal, 0, "nor does the log hold it");
    assert!(store.check().iter().all(|item| item.ok), "{:?}", store.check());
}

#[test]
fn deleting_a_large_text_frees_clean_pages() {
    let directory = private_directory();
    let mut store = open(directory.path());
    let order = change(&mut store, |tx| {
        Ok(tx.insert_message(&text(1, "bob", &format!("{WORD} ").repeat(2_000)))?.unwrap().order)
    });
    assert!(holds(&decrypted(&store), WORD));
    change(&mut store, |tx| tx.delete_message(order).map(drop));
    let free: i64 = store.raw().pragma_query_value(None, "freelist_count", |row| row.get(0)).unwrap();
    assert!(free > 5, "its pages are free now");
    assert!(!holds(&decrypted(&store), WORD));
}

/// SQLite leaves copies of rows in unused parts of pages when it balances its trees, which `secure_delete` does not reach.
/// Which history leaves one depends on the width of the rows: some are tried.
#[test]
fn nothing_of_many_deleted_texts_survives_a_scrub() {
    for shape in 0..8 {
        let directory = private_directory();
        let mut store = open(directory.path());
        let orders = history(&mut store, shape);
        store.checkpoint().unwrap();
        if survivors(&store, &orders) == 0 {
            continue;
        }
        store.scrub().unwrap();
        assert_eq!(survivors(&store, &orders), 0);
        assert!(holds(&decrypted(&store), &word(13)[6..]), "what was not deleted is there");
        assert!(store.check().iter().all(|item| item.ok), "{:?}", store.check());
        return;
    }
    panic!("no such history leaves a trace of itself any more: the test needs another one");
}

/// Words that share no beginning and have no neighbour that could hide a part of them.
fn word(number: u64) -> String {
    let hash = Sha256::digest(number.to_le_bytes());
    HEXLOWER.encode(&hash[..14])
}

/// Two thousand messages come, change and go. The places of those that stay; 0 for the others.
fn history(store: &mut Store, shape: u64) -> Vec<i64> {
    let mut orders = Vec::new();
    for batch in 0..20u64 {
        change(store, |tx| {
            for number in batch * 100..(batch + 1) * 100 {
                let pad = "pad ".repeat((number * (7 + shape) % 60) as usize);
                let own = if number % 3 == 0 { "alice" } else { "bob" };
                let order =
                    tx.insert_message(&text(number, own, &format!("{} {pad}", word(number))))?.unwrap().order;
                orders.push(order);
                let bob = name("bob");
                let counter = tx.advance_outgoing(&bob, device(1), &[0; 32])?;
                if own == "alice" {
                    let plaintext = word(number).repeat(1 + (number % 9) as usize).into_bytes().into();
                    tx.put_sent(&bob, device(1), &Sent { counter, message: id(number), plaintext }, number)?;
                }
            }
            Ok(())
        });
        // Later changes of rows make their cells grow and shrink.
        change(store, |tx| {
            for number in (batch * 100..(batch + 1) * 100).step_by(2) {
                let reason = SafeText::single_line(&"waiting ".repeat((number % (13 + shape)) as usize));
                tx.set_message_state(orders[number as usize], MessageState::Held, Some(&reason))?;
            }
            Ok(())
        });
        change(store, |tx| {
            for number in 0..(batch + 1) * 100 {
                let gone = number % 10 != 3 && (number * 31 + batch) % 4 == 0;
                if gone && orders[number as usize] != 0 {
                    tx.delete_message(orders[number as usize])?;
                    orders[number as usize] = 0;
                }
            }
            Ok(())
        });
    }
    change(store, |tx| {
        for (_, order) in orders.iter_mut().enumerate().filter(|(n, order)| n % 10 != 3 && **order != 0) {
            tx.delete_message(std::mem::take(order))?;
        }
        Ok(())
    });
    orders
}

/// Places in the file at which a part of a deleted word stands.
fn survivors(store: &Store, orders: &[i64]) -> usize {
    let pages = decrypted(store);
    let deleted = orders.iter().zip(0u64..).filter(|(order, _)| **order == 0);
    let traces: HashSet<Vec<u8>> = deleted.map(|(_, n)| word(n).into_bytes()[6..].to_vec()).collect();
    let windows = pages.windows(22).filter(|w| w[0].is_ascii_hexdigit() && w[21].is_ascii_hexdigit());
    windows.filter(|window| traces.contains(*window)).count()
}
