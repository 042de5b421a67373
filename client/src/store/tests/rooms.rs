//! What is stored of rooms.

use subrosa_protocol::{RoomId, SafeText};

use super::*;
use crate::{
    api::{RoomState, Visibility},
    store::{
        StoredRoom,
        limits::{EARLIER_INVITATIONS, EARLIER_INVITATIONS_OF_ONE},
    },
};

fn invited(id: u8) -> StoredRoom {
    StoredRoom {
        id: RoomId::from_bytes([id; 16]),
        label: format!("room-{id}"),
        state: RoomState::Invited,
        visibility: Visibility::Private,
        slug: None,
        name: SafeText::default(),
        topic: SafeText::default(),
        description: SafeText::default(),
        role: None,
        members: 0,
        suite: String::new(),
        generation: 0,
        epoch: 0,
        cursor: 0,
        owner_secret: None,
        next_secret: None,
        invited_by: Some(name("bob")),
        invitation: Some(vec![id]),
        muted: false,
        refused: None,
        denied: false,
        accepting: false,
        leaving: false,
    }
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
