//! What of a room stands in the relay's files and logs: not who sent an entry, and of a private room nothing that a delta
//! does not say.

use std::{collections::BTreeSet, path::Path};

use rusqlite::{Connection, OpenFlags, types::ValueRef};
use subrosa_protocol::{BoundedBytes, RoomId, frames::*};
use subrosa_tests::{
    World,
    raw_client::{Identity, identity::random},
    relay::RelayOptions,
    report::did,
    scan,
    world::FAST,
};

use super::fixture::*;

/// Every value of every row of the tables of rooms, with its column.
fn rows(database: &Path) -> Vec<(String, Vec<u8>)> {
    let db = Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let tables = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name LIKE 'room%'";
    let mut tables = db.prepare(tables).unwrap();
    let tables: Vec<String> = tables.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    let mut values = Vec::new();
    for table in tables {
        let mut all = db.prepare(&format!("SELECT * FROM {table}")).unwrap();
        let columns: Vec<String> = all.column_names().iter().map(|name| format!("{table}.{name}")).collect();
        let mut rows = all.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            for (index, column) in columns.iter().enumerate() {
                let bytes = match row.get_ref(index).unwrap() {
                    ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes.to_vec(),
                    ValueRef::Integer(number) => number.to_string().into_bytes(),
                    _ => continue,
                };
                values.push((column.clone(), bytes));
            }
        }
    }
    values
}

/// The columns that tables of rooms have. Whoever adds one says here that it names no sender, and nothing of a private room.
const COLUMNS: &str = "room_bans.account room_bans.room room_bodies.body room_bodies.id room_entries.accepted_at \
                       room_entries.body room_entries.epoch room_entries.generation room_entries.id room_entries.kind \
                       room_entries.room room_entries.seq room_entries.size room_entry_ids.accepted_at \
                       room_entry_ids.id room_entry_ids.room room_entry_ids.seq room_listings.description \
                       room_listings.name room_listings.room room_listings.skeleton room_listings.slug \
                       room_members.account room_members.cursor room_members.device room_members.removed_at \
                       room_members.room room_members.since room_members.state room_members.until room_objects.hash \
                       room_objects.id room_objects.kind room_objects.room room_objects.seq room_objects.size \
                       room_pieces.body room_pieces.number room_pieces.object rooms.bytes rooms.epoch rooms.first_seq \
                       rooms.generation rooms.gone rooms.id rooms.next_seq rooms.owner_key rooms.room";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn neither_files_nor_rows_nor_logs_say_who_sent_an_entry_or_what_a_private_room_is() {
    // At its most talkative, because logs must be blind too.
    let args = ["--log-level", "trace"].map(str::to_owned).to_vec();
    let world = World::with(RelayOptions { config: FAST.into(), args, ..RelayOptions::default() });
    let alice = Identity::new("alice_the_sender").registered(to(&world)).await;
    let bob = Identity::new("bob_the_reader").registered(to(&world)).await;
    let mut one = alice.session(to(&world)).await;
    let mut other = bob.session(to(&world)).await;
    room_of_two(&mut one, &mut other, &bob).await;
    let mut ids = Vec::new();
    // Alice writes everything, and nobody else does; so does her typing, and a commit.
    for _ in 0..20 {
        let post = post(ROOM, 1, &random::<1200>());
        ids.push(post.id);
        seq(one.ask(Request::RoomPost(post)).await);
    }
    let typing = RoomEphemeral { room: ROOM, bytes: BoundedBytes::new(b"typing-is-kept-nowhere").unwrap() };
    done(one.ask(Request::RoomEphemeral(typing)).await);
    let rekey = commit(ROOM, 1);
    ids.push(rekey.id);
    seq(one.ask(Request::RoomCommit(rekey)).await);
    assert_eq!(log(&mut other, ROOM).await.0.len(), 21);
    // A room that was public and is not any more.
    let open = RoomId::from_bytes([9; 16]);
    let hash = put(&mut one, b"group info").await;
    done(one.ask(Request::RoomCreate(create(open, Some(listing("open")), Some(hash)))).await);
    let closing = RoomDelta { listing: ListingChange::Remove, ..RoomDelta::default() };
    seq(one.ask(Request::RoomCommit(RoomCommit { delta: closing, ..commit(open, 0) })).await);

    let data = world.relay.data.clone();
    let all = rows(&data.join("rosad.db"));
    assert!(
        all.iter().filter(|(column, _)| column == "room_entries.seq").count() >= 23,
        "the rows were not read"
    );
    assert!(!all.iter().any(|(column, _)| column.starts_with("room_listings.")), "a private room is listed");
    let db = Connection::open_with_flags(data.join("rosad.db"), OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let sql = "SELECT m.name || '.' || p.name FROM sqlite_schema m, pragma_table_info(m.name) p
               WHERE m.type = 'table' AND m.name LIKE 'room%'";
    let mut statement = db.prepare(sql).unwrap();
    let columns: BTreeSet<String> =
        statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    assert_eq!(
        columns,
        COLUMNS.split_whitespace().map(str::to_owned).collect(),
        "tables of rooms have other columns"
    );

    // What could name her: account, keys. Bob stands in the delta of the commit that added him, which the search must find.
    let found = |needle: &[u8]| -> Vec<&str> {
        let hits = all
            .iter()
            .filter(|(_, value)| scan::forms(needle).iter().any(|form| scan::contains(value, form)));
        hits.map(|(column, _)| column.as_str()).collect()
    };
    assert_eq!(found(b"bob_the_reader"), ["room_bodies.body"], "the search sees what is there");
    let entry = alice.device.entry(1, 0);
    let keys: [&[u8]; 3] = [b"alice_the_sender", &alice.account_key.public(), &entry.signing_key];
    for needle in keys {
        assert_eq!(found(needle), Vec::<&str>::new(), "something of the sender is in the tables of rooms");
    }
    assert_eq!(found(b"typing-is-kept-nowhere"), Vec::<&str>::new());
    assert!(scan::hits(&data, b"typing-is-kept-nowhere").is_empty());

    // A log may name accounts when it is asked to be talkative. It names no room and no entry, so it ties nobody to one.
    let log = world.relay.log();
    assert!(log.lines().count() >= 3, "the log was not captured: {log}");
    let mut hidden: Vec<Vec<u8>> = ids.iter().map(|id| id.as_bytes().to_vec()).collect();
    hidden.extend([ROOM.as_bytes().to_vec(), ROOM.to_string().into_bytes(), open.to_string().into_bytes()]);
    for needle in &hidden {
        for form in scan::forms(needle) {
            assert!(!scan::contains(log.as_bytes(), &form), "a room or an entry is named in the log");
        }
    }
    did(&format!("{} values of the tables of rooms and {} bytes of log searched", all.len(), log.len()));
}
