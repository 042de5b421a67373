//! The lock (R49).

use rosa::app::{
    keymap::Place,
    update::{Effect, Msg},
};
use subrosa_client::{ApiError, api::Kind};

use crate::{stage::Stage, world::World};

#[test]
fn r49_alt_l_drops_everything_and_saves_the_draft() {
    let mut stage = Stage::new(World::peopled());
    stage.type_in("half a thought").key("Alt-L");
    assert!(stage.model.desk().is_none());
    assert!(matches!(stage.effects[..], [Effect::Lock]));
    assert_eq!(stage.world.chat("bob").draft, "half a thought");
    assert!(stage.shows("profile default is locked"));
    assert!(!stage.shows("bob") && !stage.shows("relay"));
    // What still comes from the engine is not looked at.
    stage.event(crate::world::received(&crate::world::message("bob", 40, "bob", "secret")));
    assert!(!stage.shows("secret"));
    stage.send(Msg::Unlocked(Ok(())));
    assert_eq!((stage.here(), stage.draft()), ("bob", "half a thought"));
}

#[test]
fn r49_ten_idle_minutes_lock() {
    let mut stage = Stage::new(World::peopled());
    stage.pass(599_000).send(Msg::Tick);
    assert!(stage.model.desk().is_some());
    stage.pass(1_000).send(Msg::Tick);
    assert!(stage.model.desk().is_none());
    let mut stage = Stage::new(World::peopled());
    stage.pass(599_000).type_in("x").pass(2_000).send(Msg::Tick);
    assert!(stage.model.desk().is_some(), "a key counts from anew");
    let mut stage = Stage::new(World::peopled());
    stage.model.settings.idle_lock_minutes = 0;
    stage.pass(86_400_000).send(Msg::Tick);
    assert!(stage.model.desk().is_some());
}

#[test]
fn r49_a_clock_set_back_does_not_keep_it_open() {
    let mut stage = Stage::new(World::peopled());
    stage.now.0 -= 3_600_000;
    stage.send(Msg::Tick);
    stage.pass(600_000).send(Msg::Tick);
    assert!(stage.model.desk().is_none());
}

#[test]
fn r49_what_wakes_the_loop_is_the_lock_when_it_is_due() {
    let stage = Stage::new(World::peopled());
    let next = rosa::app::update::next_tick(&stage.model);
    assert!(next.0 - stage.now.0 <= 60_000);
}

#[test]
fn the_passphrase_is_dots_and_a_wrong_one_waits() {
    let mut stage = Stage::locked(World::peopled(), 80, 24);
    stage.type_in("hunter2 ?");
    assert!(stage.shows("passphrase: •••••••••") && !stage.shows("hunter"));
    stage.key("Enter");
    assert!(stage.shows("opening..."));
    assert!(matches!(&stage.effects[..], [Effect::Unlock(secret)] if *secret.0 == "hunter2 ?"));
    stage.type_in("more").key("Enter");
    assert_eq!(stage.effects.len(), 1, "one try at a time");
    stage.send(Msg::Unlocked(Err(ApiError::new(Kind::NotReady, "wrong passphrase"))));
    assert!(stage.shows("wrong passphrase"));
    stage.enter("second");
    assert_eq!(stage.effects.len(), 1);
    assert!(stage.shows("wait 1 s"));
    stage.pass(1_000).send(Msg::Tick);
    assert!(stage.shows("wait 1 s"), "it is told until the next key");
    stage.key("Enter");
    assert_eq!(stage.effects.len(), 2);
    assert!(!format!("{:?} {:?}", stage.effects, stage.model).contains("second"));
}

#[test]
fn ctrl_c_on_the_lock_screen_clears_then_quits() {
    let mut stage = Stage::locked(World::peopled(), 80, 24);
    stage.type_in("abc").key("Ctrl-C");
    assert!(stage.effects.is_empty() && stage.shows("passphrase:\n"));
    stage.key("Ctrl-C");
    assert!(matches!(stage.effects[..], [Effect::Quit(_)]));
}

#[test]
fn the_lock_screen_has_help_and_takes_a_paste() {
    let mut stage = Stage::locked(World::peopled(), 80, 24);
    stage.key("F1");
    assert_eq!(stage.model.place(), Place::Page);
    assert!(stage.shows("open the profile"));
    stage.key("Esc");
    stage.send(Msg::Paste("pasted".to_owned()));
    assert!(stage.shows("passphrase: ••••••\n"));
}

#[test]
fn when_the_engine_ends_the_profile_is_locked() {
    let mut stage = Stage::new(World::peopled());
    stage.send(Msg::Ended);
    assert!(stage.shows("has ended") && matches!(stage.effects[..], [Effect::Lock]));
    stage.send(Msg::Ended);
    assert_eq!(stage.effects.len(), 1);
}
