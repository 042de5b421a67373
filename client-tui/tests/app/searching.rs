//! Search, and stepping through what it finds.

use rosa::app::keymap::Place;
use subrosa_client::api::{ContactState, Trust};

use crate::{
    stage::Stage,
    world::{World, message},
};

fn world() -> World {
    let mut world = World::empty();
    world.person("bob", ContactState::Accepted, Trust::Verified);
    world.person("carol", ContactState::Accepted, Trust::Unverified);
    for order in 1..=400 {
        let chat = if order % 2 == 0 { "bob" } else { "carol" };
        let text =
            if order % 100 == 0 || order == 51 { format!("needle {order}") } else { format!("hay {order}") };
        world.put(message(chat, order, chat, &text));
    }
    world
}

#[test]
fn hits_are_found_while_typing_and_stepped_through() {
    let mut stage = Stage::new(world());
    stage.key("Ctrl-F").type_in("needle");
    assert!(stage.shows("> Fri 21 Nov  bob  bob: needle 400"), "{}", stage.screen());
    stage.key("Down").key("Enter");
    assert_eq!(stage.model.place(), Place::Hits);
    assert!(stage.shows(">") && stage.shows("needle 300") && stage.shows("2/5"), "{}", stage.screen());
    stage.key("n");
    assert!(stage.shows("needle 200"));
    stage.key("n").key("n");
    assert_eq!(stage.here(), "carol");
    assert!(stage.shows("needle 51"));
    stage.key("n");
    assert!(stage.notice().contains("oldest hit"));
    stage.key("N");
    assert_eq!(stage.here(), "bob");
    assert!(stage.shows("needle 100"));
    stage.key("Enter");
    assert_eq!(stage.model.place(), Place::Select);
    stage.key("Esc").type_in("n");
    assert_eq!(stage.draft(), "n");
}

#[test]
fn any_other_character_writes_again() {
    let mut stage = Stage::new(world());
    stage.enter("/search needle").key("Enter");
    assert_eq!(stage.model.place(), Place::Hits);
    stage.type_in("x");
    assert_eq!((stage.model.place(), stage.draft()), (Place::Write, "x"));
}

#[test]
fn nothing_found_is_said_and_leads_nowhere() {
    let mut stage = Stage::new(world());
    stage.key("Ctrl-F").type_in("absent");
    assert!(stage.shows("nothing found"));
    stage.key("Enter");
    assert_eq!(stage.model.place(), Place::Search);
    stage.key("Esc");
    assert_eq!(stage.model.place(), Place::Write);
}

#[test]
fn after_a_jump_the_rest_of_the_chat_is_still_there() {
    let mut stage = Stage::new(world());
    stage.enter("/search needle").key("Down").key("Down").key("Down").key("Enter");
    assert!(stage.shows("needle 100"));
    stage.key("Esc").key("End");
    assert!(stage.shows("needle 400"));
}
