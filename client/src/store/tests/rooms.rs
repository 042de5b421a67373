//! What is stored of rooms.

use subrosa_protocol::{EntryId, RoomId};
use subrosa_rooms::store::{Part, RoomStore};

use super::*;
use crate::{
    api::{Role, RoomState, Visibility},
    store::{
        Progress, StoreError, StoredRoom,
        limits::{EARLIER_INVITATIONS, EARLIER_INVITATIONS_OF_ONE},
    },
};

fn invited(id: u8) -> StoredRoom {
    let id_of = RoomId::from_bytes([id; 16]);
    StoredRoom {
        state: RoomState::Invited,
        invited_by: Some(name("bob")),
        invitation: Some(vec![id]),
        ..StoredRoom::new(id_of, format!("room-{id}"), Visibility::Private)
    }
}

#[test]
fn who_is_logged_out_is_in_no_room_and_has_no_key_of_one() {
    let mut store = store();
    let room = StoredRoom {
        state: RoomState::Joined,
        role: Some(Role::Owner),
        owner_secret: Some([7; 32].into()),
        next_secret: Some([8; 32].into()),
        denied: true,
        accepting: true,
        ..invited(1)
    };
    let left = StoredRoom { state: RoomState::Left, invitation: None, invited_by: None, ..invited(2) };
    change(&mut store, |tx| {
        tx.put_identity(&keys::identity(Progress::Ready))?;
        tx.put_room(&room)?;
        tx.put_room(&left)?;
        tx.keep_earlier_invitation(room.id, &name("bob"), b"earlier")?;
        tx.put(Part::Tree, b"key", b"secret").map_err(|_| StoreError::Corrupt("part"))?;
        tx.push_room_post(room.id, EntryId::from_bytes([1; 16]), id(1), b"text", 1)?;
        tx.added_to_room(room.id, &("bob".to_owned(), 1), 1, 1)
    });
    change(&mut store, |tx| tx.forget_keys());
    for table in ["mls_state", "room_outbox", "room_commits", "room_seen", "earlier_invitations"] {
        let sql = format!("SELECT count(*) FROM {table}");
        let rows: u32 = store.raw().query_row(&sql, [], |row| row.get(0)).unwrap();
        assert_eq!(rows, 0, "{table}");
    }
    look(&store, |tx| {
        let now = tx.room(room.id)?.unwrap();
        let expected = StoredRoom {
            state: RoomState::Removed,
            role: None,
            owner_secret: None,
            next_secret: None,
            invited_by: None,
            invitation: None,
            denied: false,
            accepting: false,
            ..room.clone()
        };
        assert_eq!(now, expected);
        assert_eq!(tx.room(left.id)?.unwrap().state, RoomState::Left);
        Ok(())
    });
}

#[test]
fn earlier_invitations_are_bounded_and_nobody_pushes_out_those_of_others() {
    let mut store = store();
    let (one, other) = (invited(1), invited(2));
    change(&mut store, |tx| {
        tx.put_room(&one)?;
        tx.put_room(&other)?;
        tx.keep_earlier_invitation(one.id, &name("bob"), b"bob's")?;
        tx.keep_earlier_invitation(other.id, &name("bob"), b"of another room")?;
        for number in 0..100u8 {
            tx.keep_earlier_invitation(one.id, &name("mallory"), &[number])?;
        }
        Ok(())
    });
    let mut taken = Vec::new();
    change(&mut store, |tx| {
        while let Some(next) = tx.take_earlier_invitation(one.id)? {
            taken.push(next);
        }
        Ok(())
    });
    let newest = (0..100u8).rev().take(EARLIER_INVITATIONS_OF_ONE as usize);
    let mut expected: Vec<_> = newest.map(|number| (name("mallory"), vec![number])).collect();
    expected.push((name("bob"), b"bob's".to_vec()));
    assert_eq!(taken, expected);
    change(&mut store, |tx| {
        for number in 0..100 {
            tx.keep_earlier_invitation(one.id, &name(&format!("user{number}")), &[number])?;
        }
        Ok(())
    });
    let count = |store: &mut Store, room: RoomId| {
        let sql = "SELECT count(*) FROM earlier_invitations WHERE room = ?1";
        store.raw().query_row(sql, [room.as_bytes()], |row| row.get::<_, u32>(0)).unwrap()
    };
    assert_eq!(count(&mut store, one.id), EARLIER_INVITATIONS);
    // Who is in, or does not come, needs none of them.
    change(&mut store, |tx| tx.put_room(&StoredRoom { invitation: None, ..one.clone() }));
    assert_eq!((count(&mut store, one.id), count(&mut store, other.id)), (0, 1));
}
