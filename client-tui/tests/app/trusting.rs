//! Changed keys, verification, and what stops sending.

use rosa::app::keymap::Place;
use subrosa_client::{
    ApiError, Request,
    api::{ConnectionState, EventBody, KeyChange, Kind, Trust},
};

use crate::{
    stage::Stage,
    world::{World, event},
};

#[test]
fn a_changed_key_is_told_with_the_ways_out() {
    let mut stage = Stage::new(World::peopled());
    stage.key("Alt-3");
    assert!(stage.shows("KEY CHANGED"));
    assert!(stage.shows("! erin's key changed: nothing is sent. Compare: /verify"), "{}", stage.screen());
    assert!(stage.shows("accept unseen: /trust"));
    assert!(stage.shows("held: erin's key changed"));
}

#[test]
fn verify_shows_the_number_and_confirms_the_number_that_was_shown() {
    let mut stage = Stage::new(World::peopled());
    stage.key("Alt-2").enter("/verify");
    assert_eq!(stage.model.place(), Place::Question);
    assert!(
        stage.shows("12345 12345 12345 12345") && stage.shows("Safety number with carol"),
        "{}",
        stage.screen()
    );
    stage.key("x");
    assert_eq!(stage.model.place(), Place::Question);
    stage.key("n");
    assert_eq!(stage.world.contact("carol").trust, Trust::Unverified);
    stage.enter("/verify carol").key("y");
    assert_eq!(stage.world.contact("carol").trust, Trust::Verified);
    assert_eq!(stage.notice(), "carol is verified");
    assert!(stage.shows("verified  pq"));
}

#[test]
fn a_number_that_changed_meanwhile_is_refused() {
    let mut stage = Stage::new(World::peopled());
    stage.enter("/verify carol");
    stage.world.number = ["55555"; 12].join(" ");
    stage.key("y");
    assert_eq!(stage.notice(), "this is not the safety number");
    assert_eq!(stage.world.contact("carol").trust, Trust::Unverified);
}

#[test]
fn trust_asks_shows_both_numbers_and_binds_to_the_new_one() {
    let mut stage = Stage::new(World::peopled());
    stage.enter("/trust erin");
    assert!(stage.shows("Accept erin's new key?") && stage.shows("98765 98765"), "{}", stage.screen());
    assert_eq!(stage.world.asked_for(|r| matches!(r, Request::ContactTrust { .. })), 0);
    stage.key("t");
    let number = stage.world.number.clone();
    let bound = |r: &Request| matches!(r, Request::ContactTrust { number: Some(n), .. } if *n == number);
    assert_eq!(stage.world.asked_for(bound), 1);
    assert!(stage.notice().contains("what was held goes out"));
    stage.enter("/trust bob");
    assert!(stage.notice().contains("the key has not changed"));
}

#[test]
fn an_identity_event_is_told_wherever_one_is() {
    let mut stage = Stage::new(World::peopled());
    stage.world.contact("carol").trust = Trust::Changed;
    let change = KeyChange { name: "carol".to_owned(), old_number: None, new_number: None, held: 1 };
    stage.event(event(EventBody::IdentityChanged { change }));
    assert!(stage.notice().contains("carol's key changed"));
    assert!(stage.shows("!key"));
}

#[test]
fn a_forked_list_and_a_blocked_profile_stand_in_red() {
    let mut world = World::peopled();
    world.contact("bob").trust = Trust::Forked;
    let mut stage = Stage::new(world);
    assert!(stage.shows("LIST FORKED") && stage.shows("! bob's device lists contradict"));
    let error = ApiError::new(Kind::Identity, "this device was removed").hint("rosa login again");
    let connection = ConnectionState::Blocked { error };
    stage.world.status.connection = connection.clone();
    stage.event(event(EventBody::ConnectionDown { connection }));
    assert!(stage.shows("! this device was removed rosa login again") && stage.shows("BLOCKED"));
}

#[test]
fn an_own_fault_is_told_as_this_profiles_and_its_line_goes_when_it_is_over() {
    let mut stage = Stage::new(World::peopled());
    let fault = |error| event(EventBody::ProfileFault { error });
    let full = || ApiError::new(Kind::NotReady, "the disk is full").hint("make room on the disk");
    stage.event(fault(Some(full())));
    assert_eq!(stage.notice(), "this profile: the disk is full. make room on the disk");
    assert!(stage.shows("this profile: the disk is full") && !stage.shows("relay:"), "{}", stage.screen());
    stage.event(fault(None));
    assert_eq!(stage.notice(), "");
    assert!(!stage.shows("the disk is full"), "{}", stage.screen());
    // What was said since stays.
    stage.event(fault(Some(full()))).enter("/verify carol").key("y");
    assert_eq!(stage.notice(), "carol is verified");
    stage.event(fault(None));
    assert_eq!(stage.notice(), "carol is verified");
}
