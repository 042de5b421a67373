//! What is written in a room stands on every device where the room's log has it (issue 4, point 1).

use subrosa_client::{
    Reply, Request,
    api::{EventBody, EventKind, MessageState, WaitFor},
};

use crate::world::World;

#[test]
fn all_devices_show_the_same_order_however_it_was_written() {
    let mut moved = 0;
    for seed in 740..745 {
        let everybody = ["alice", "bob", "bob2", "carol"];
        let mut world = World::with_rooms(seed, &["alice", "bob", "carol"]);
        world.login("bob", "bob2");
        world.run_for(60_000);
        world.gather(&["alice", "bob", "carol"]);
        world.run_for(60_000);
        let mut expected = 0;
        for round in 0..4 {
            if round == 2 {
                world.disconnect("carol");
            }
            let mut waits = Vec::new();
            for who in everybody {
                for n in 0..3 {
                    let text = format!("{who} {round}.{n}");
                    waits.push((who, world.send_later(who, "#ops", &text, WaitFor::Accepted)));
                    expected += 1;
                }
                if !seed.is_multiple_of(3) {
                    world.step_anywhere();
                }
            }
            while world.step_anywhere() {}
            if round == 2 {
                world.run_for(2_000);
                world.connect("carol");
            }
            world.run_for(20_000);
            for (who, token) in waits {
                let Reply::Sent { results } = world.answer(who, token).unwrap().unwrap() else { panic!() };
                assert_eq!(results[0].state, MessageState::Accepted, "{seed} {who}: {results:?}");
                assert!(results[0].error.is_none(), "{seed} {who}: {results:?}");
            }
        }
        let first = world.texts("alice", "#ops");
        assert_eq!(first.len(), expected, "{seed}");
        for who in everybody {
            assert_eq!(world.texts(who, "#ops"), first, "{seed} {who}");
            let lines = world.history(who, "#ops");
            assert!(lines.is_sorted_by(|a, b| a.order < b.order), "{seed} {who}");
            // Whoever follows the events knows the same places.
            for event in world.told(who, EventKind::MessageMoved) {
                let EventBody::MessageMoved { id, .. } = event else { panic!() };
                assert!(lines.iter().any(|line| line.id == id), "{seed} {who}");
                moved += 1;
            }
            let places = places(&world, who);
            for line in &lines {
                if let Some(place) = places.get(&line.id) {
                    assert_eq!(*place, line.order, "{seed} {who}");
                }
            }
        }
    }
    assert!(moved > 0, "nothing raced");
}

/// Where the events say that messages stand.
fn places(world: &World, who: &str) -> std::collections::BTreeMap<String, i64> {
    let mut places = std::collections::BTreeMap::new();
    for event in &world.clients[who].events {
        match &event.body {
            EventBody::MessageReceived { message } | EventBody::MessageQueued { message } => {
                places.insert(message.id.clone(), message.order);
            }
            EventBody::MessageMoved { id, order, .. } => drop(places.insert(id.clone(), *order)),
            _ => {}
        }
    }
    places
}

#[test]
fn what_waits_stands_behind_what_others_wrote_and_pages_and_search_find_it() {
    let mut world = World::with_rooms(760, &["alice", "bob"]);
    world.gather(&["alice", "bob"]);
    world.disconnect("bob");
    for text in ["one zebra", "two zebra"] {
        world.send("bob", "#ops", text);
    }
    let one = world.line("bob", "#ops", "one zebra").id;
    world.send("alice", "#ops", "first");
    world.settle();
    world.connect("bob");
    world.settle();
    for who in ["alice", "bob"] {
        assert_eq!(world.texts(who, "#ops"), ["first", "one zebra", "two zebra"], "{who}");
    }
    world.touch("alice", Request::MessageReact { id: one.clone(), sign: "+".into(), undo: false }).unwrap();
    world.settle();
    let line = world.line("bob", "#ops", "one zebra");
    assert_eq!(line.marks.reactions.len(), 1);
    let page = Request::RoomHistory { room: "#ops".into(), before: Some(line.order), limit: 1 };
    let Reply::History(page) = world.ask("bob", page).unwrap() else { panic!() };
    assert_eq!(page.messages.len(), 1);
    assert_eq!(page.messages[0].from, "alice");
    let search = Request::MessageSearch { query: "zebra".into(), limit: 10 };
    let Reply::Hits { hits } = world.ask("bob", search).unwrap() else { panic!() };
    assert_eq!(hits.len(), 2);
    assert!(hits.iter().any(|hit| hit.message.id == one && hit.message.order == line.order));
    // The log of events tells the text of where it is now.
    let told = world.peek("bob", |tx| tx.events(Some(0), 500, &["message.queued".into()]).unwrap());
    let queued = told.events.iter().filter_map(|event| match &event.body {
        EventBody::MessageQueued { message } if message.chat == "#ops" => {
            Some((message.text.as_str().to_owned(), message.order))
        }
        _ => None,
    });
    assert!(queued.collect::<Vec<_>>().contains(&("one zebra".to_owned(), line.order)));
}
