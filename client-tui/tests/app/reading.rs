//! Reading: marks, unread lines, scrolling anchored to a message, pages on demand, focus.

use rosa::app::{
    model::{PAGE, Position, WINDOW_MAX},
    settings::Preview,
    update::{Effect, Msg},
};
use subrosa_client::{
    Request,
    api::{ContactState, EventBody, MessageState, Trust},
};

use crate::{
    stage::Stage,
    world::{World, event, message, receipt, received},
};

fn long(count: i64) -> World {
    let mut world = World::empty();
    world.person("bob", ContactState::Accepted, Trust::Verified);
    for order in 1..=count {
        world.put(message("bob", order, "bob", &format!("message {order}")));
    }
    world
}

fn reads(stage: &Stage) -> Vec<i64> {
    let reads = stage.world.asked.iter().filter_map(|request| match request {
        Request::ChatRead { up_to, .. } => Some(*up_to),
        _ => None,
    });
    reads.collect()
}

fn comes(stage: &mut Stage, order: i64, text: &str) {
    let new = message("bob", order, "bob", text);
    stage.world.put(new.clone());
    stage.event(received(&new));
}

#[test]
fn delivery_marks_go_forward_only() {
    let mut stage = Stage::new(World::peopled());
    stage.enter("on its way");
    let sent = stage.world.messages.last().unwrap().clone();
    let line = |stage: &Stage| {
        let screen = stage.screen();
        let line = screen.lines().find(|line| line.contains("on its way")).unwrap();
        line.split_whitespace().last().unwrap().to_owned()
    };
    assert_eq!(line(&stage), "..");
    stage.event(event(EventBody::MessageAccepted { message: receipt(&sent) }));
    assert_eq!(line(&stage), "o");
    stage.event(event(EventBody::MessageDelivered { message: receipt(&sent) }));
    assert_eq!(line(&stage), "v");
    stage.event(event(EventBody::MessageAccepted { message: receipt(&sent) }));
    assert_eq!(line(&stage), "v");
    stage.event(event(EventBody::MessageRead { message: receipt(&sent) }));
    assert_eq!(line(&stage), "vv");
}

#[test]
fn a_failed_message_says_so() {
    let mut stage = Stage::new(World::peopled());
    stage.enter("doomed");
    let last = stage.world.messages.last_mut().unwrap();
    last.state = MessageState::Failed;
    last.reason = Some(subrosa_protocol::SafeText::single_line("30 days passed"));
    let id = last.id.clone();
    let failure = subrosa_client::api::FailureReason { id, chat: Some("bob".to_owned()), error: None };
    stage.event(event(EventBody::MessageFailed { failure }));
    assert!(stage.shows("not sent: 30 days passed"), "{}", stage.screen());
    assert!(stage.screen().lines().any(|line| line.contains("doomed") && line.trim_end().ends_with('!')));
}

#[test]
fn focus_and_bottom_decide_what_is_read() {
    let mut stage = Stage::new(long(100));
    assert_eq!(reads(&stage), Vec::<i64>::new(), "nothing was unread");
    comes(&mut stage, 101, "seen");
    assert_eq!(reads(&stage), [101]);
    stage.send(Msg::Focus(false));
    comes(&mut stage, 102, "not seen");
    assert_eq!(reads(&stage), [101]);
    assert!(stage.shows(" new ───"), "{}", stage.screen());
    stage.send(Msg::Focus(true));
    assert_eq!(reads(&stage), [101, 102]);
    stage.key("PgUp");
    comes(&mut stage, 103, "below");
    assert_eq!(reads(&stage), [101, 102]);
    assert!(stage.shows("v 1 new End"));
    stage.key("End");
    assert_eq!(reads(&stage), [101, 102, 103]);
    stage.key("?");
    comes(&mut stage, 104, "behind the help");
    assert_eq!(reads(&stage), [101, 102, 103]);
    stage.key("Esc");
    assert_eq!(reads(&stage), [101, 102, 103, 104]);
}

#[test]
fn the_new_line_stays_until_the_person_writes() {
    let mut world = long(10);
    world.unread("bob", 3);
    let mut stage = Stage::new(world);
    let screen = stage.screen();
    let at = |text: &str| screen.lines().position(|line| line.contains(text)).unwrap();
    assert!(at("message 7") < at(" new ──") && at(" new ──") < at("message 8"), "{screen}");
    stage.enter("ok");
    assert!(!stage.shows(" new ──"));
}

#[test]
fn a_chat_with_many_unread_opens_at_the_first_of_them() {
    for unread in [40, 90] {
        let mut world = long(300);
        world.unread("bob", unread);
        let stage = Stage::new(world);
        assert!(
            stage.shows(&format!("message {} ", 301 - unread))
                || stage.shows(&format!("message {}\n", 301 - unread))
        );
        assert!(stage.shows(" new ──"), "{}", stage.screen());
        assert_eq!(reads(&stage), Vec::<i64>::new());
    }
}

#[test]
fn the_view_is_anchored_to_a_message() {
    let mut stage = Stage::new(long(200));
    for _ in 0..5 {
        stage.key("PgUp");
    }
    let top = |stage: &Stage| {
        stage.screen().lines().nth(1).unwrap().split("message").nth(1).unwrap().trim().to_owned()
    };
    let before = top(&stage);
    for order in 201..230 {
        comes(&mut stage, order, "new");
    }
    assert_eq!(top(&stage), before);
    stage.send(Msg::Resize(120, 40));
    assert_eq!(top(&stage), before);
    stage.send(Msg::Resize(50, 15));
    assert_eq!(top(&stage), before);
    assert!(stage.shows("v 29 new End"));
    for _ in 0..40 {
        stage.key("PgDn");
    }
    assert!(stage.desk().open.as_ref().unwrap().timeline.follows());
}

#[test]
fn pages_are_loaded_on_demand_and_the_window_is_bounded() {
    let mut stage = Stage::new(long(10_000));
    assert_eq!(stage.desk().open.as_ref().unwrap().timeline.messages().len(), PAGE as usize);
    let mut seen = 0;
    for _ in 0..200 {
        stage.key("PgUp");
        let window = stage.desk().open.as_ref().unwrap().timeline.messages().len();
        assert!(window <= WINDOW_MAX);
        seen = seen.max(window);
    }
    assert_eq!(seen, WINDOW_MAX);
    stage.key("Home");
    assert!(stage.shows("message 1\n") || stage.shows("message 1 "), "{}", stage.screen());
    stage.key("End");
    assert!(stage.shows("message 10000"));
    assert!(stage.desk().open.as_ref().unwrap().timeline.messages().len() <= WINDOW_MAX);
    for order in 10_001..10_900 {
        comes(&mut stage, order, "more");
    }
    assert!(stage.desk().open.as_ref().unwrap().timeline.messages().len() <= WINDOW_MAX);
}

#[test]
fn scrolling_shows_every_message_once_in_order() {
    let mut stage = Stage::sized(long(450), 60, 14);
    stage.key("Home");
    let mut last = 0;
    for _ in 0..600 {
        for line in stage.screen().lines().filter(|line| line.contains(" message ")) {
            let number: i64 =
                line.split("message ").nth(1).unwrap().split_whitespace().next().unwrap().parse().unwrap();
            assert!(number <= last + 1, "jumped from {last} to {number}");
            last = last.max(number);
        }
        stage.send(Msg::Wheel(3));
    }
    assert_eq!(last, 450);
}

#[test]
fn home_and_end_serve_the_line_first() {
    let mut stage = Stage::new(long(50));
    stage.type_in("draft").key("Home");
    assert_eq!(stage.desk().composer.editor.cursor(), 0);
    assert_eq!(stage.desk().open.as_ref().unwrap().timeline.position, Position::Bottom);
    stage.key("Home");
    assert!(stage.shows("message 1\n") || stage.shows("message 1 "));
    stage.key("End").key("End");
    assert!(stage.desk().open.as_ref().unwrap().timeline.follows());
    assert_eq!(stage.desk().composer.editor.cursor(), 5);
}

#[test]
fn a_failing_page_is_not_asked_for_for_ever() {
    let mut stage = Stage::new(long(300));
    stage.answers = false;
    for _ in 0..10 {
        stage.key("PgUp");
    }
    let pages = |stage: &Stage| {
        stage.waiting.iter().filter(|e| matches!(e, Effect::Call(_, Request::ChatHistory { .. }))).count()
    };
    assert_eq!(pages(&stage), 1);
    let Some(Effect::Call(purpose, _)) = stage.waiting.pop() else { panic!() };
    let error = subrosa_client::ApiError::internal("store");
    stage.send(Msg::Reply(purpose, Err(error)));
    stage.send(Msg::Tick);
    assert_eq!(pages(&stage), 0);
    assert!(stage.notice().contains("internal error"));
}

#[test]
fn notifications_come_without_focus_and_tell_what_is_allowed() {
    let text = |preview, focused, request: bool| {
        let mut world = World::peopled();
        if request {
            world.contact("bob").state = ContactState::RequestReceived;
        }
        let mut stage = Stage::new(world);
        stage.model.settings.preview = preview;
        stage.send(Msg::Focus(focused));
        stage.event(received(&message("bob", 20, "bob", "the secret\nplan")));
        stage.event(received(&message("bob", 21, "bob", "again")));
        let told: Vec<String> = stage
            .effects
            .iter()
            .filter_map(|effect| if let Effect::Notify(text) = effect { Some(text.clone()) } else { None })
            .collect();
        told
    };
    assert_eq!(text(Preview::Sender, true, false), Vec::<String>::new());
    assert_eq!(text(Preview::Sender, false, false), ["rosa: bob"]);
    assert_eq!(text(Preview::Full, false, false), ["rosa: bob: the secret plan"]);
    assert_eq!(text(Preview::None, false, false), ["rosa: new message"]);
    assert_eq!(text(Preview::Full, false, true), ["rosa: a message request"]);
}

#[test]
fn after_a_gap_everything_is_asked_for_again() {
    let mut stage = Stage::new(World::peopled());
    stage.world.put(message("bob", 30, "bob", "missed event"));
    stage.send(Msg::Gap);
    assert!(stage.shows("missed event"));
}
