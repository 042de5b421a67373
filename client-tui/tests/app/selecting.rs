//! Acting on a selected message.

use rosa::app::{keymap::Place, update::Effect};
use subrosa_client::api::{ContactState, Trust};

use crate::{
    stage::Stage,
    world::{World, message},
};

fn selected(stage: &Stage) -> i64 {
    stage.desk().open.as_ref().unwrap().selected.unwrap()
}

#[test]
fn selecting_walks_and_shows_what_can_be_done() {
    let mut stage = Stage::new(World::peopled());
    stage.key("Shift-Up");
    assert_eq!((stage.model.place(), selected(&stage)), (Place::Select, 10));
    assert!(stage.shows("[select]") && stage.shows("r reply  y copy  i info"), "{}", stage.screen());
    stage.key("k").key("k");
    assert_eq!(selected(&stage), 3);
    assert!(stage.shows(">04:"), "{}", stage.screen());
    stage.key("j").key("g");
    assert_eq!(selected(&stage), 1);
    stage.key("k").key("G");
    assert_eq!(selected(&stage), 10);
    stage.type_in("xyz");
    assert_eq!(stage.draft(), "");
    stage.key("Esc").type_in("r");
    assert_eq!((stage.model.place(), stage.draft()), (Place::Write, "r"));
}

#[test]
fn a_reply_copy_and_details() {
    let mut stage = Stage::new(World::peopled());
    stage.key("Alt-K").key("k").key("k").key("y");
    assert!(matches!(&stage.effects[..], [Effect::Copy(text)] if text == "yes, 0 lost"));
    stage.key("i");
    assert!(stage.shows("alice, device 1") && stage.shows("21 Nov 2025"), "{}", stage.screen());
    stage.key("Esc").key("r");
    assert_eq!(stage.model.place(), Place::Write);
    assert!(stage.shows("answers you: yes, 0 lost"));
    stage.key("Esc");
    assert!(stage.desk().composer.reply_to.is_none());
}

#[test]
fn notices_cannot_be_answered() {
    let mut stage = Stage::new(World::peopled());
    stage.key("Alt-3").key("Shift-Up").key("k");
    assert_eq!(selected(&stage), 7);
    stage.key("r");
    assert!(stage.notice().contains("only what somebody wrote"));
    assert_eq!(stage.model.place(), Place::Select);
}

#[test]
fn the_quoted_message_is_jumped_to_also_far_back() {
    let mut world = World::empty();
    world.person("bob", ContactState::Accepted, Trust::Verified);
    for order in 1..=500 {
        world.put(message("bob", order, "bob", &format!("message {order}")));
    }
    let mut far = message("bob", 501, "bob", "as I said");
    far.reply_to = Some(world.messages[4].id.clone());
    world.put(far);
    let mut stage = Stage::new(world);
    assert!(stage.shows("> an earlier message"));
    stage.key("Shift-Up").key("Q");
    assert_eq!(selected(&stage), 5);
    assert!(stage.shows("message 5 ") || stage.shows("message 5\n"), "{}", stage.screen());
    stage.key("Q");
    assert!(stage.notice().contains("answers no message"));
    let mut stage = Stage::new(World::peopled());
    stage.key("Shift-Up").key("k").key("Q");
    assert_eq!(selected(&stage), 3);
}

#[test]
fn the_selected_message_is_always_on_the_screen() {
    let mut world = World::empty();
    world.person("bob", ContactState::Accepted, Trust::Verified);
    for order in 1..=300 {
        world.put(message(
            "bob",
            order,
            "bob",
            &format!("{order} {}", "word ".repeat((order % 40) as usize)),
        ));
    }
    let mut stage = Stage::sized(world, 44, 12);
    stage.key("Shift-Up");
    for step in 0..290 {
        stage.key("k");
        assert_eq!(selected(&stage), 299 - step);
        assert!(stage.shows("\n>"), "{step}:\n{}", stage.screen());
    }
    for _ in 0..100 {
        stage.key("j");
        assert!(stage.shows("\n>"), "{}", stage.screen());
    }
}
