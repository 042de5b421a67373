//! The chat list, switching, the palette, requests.

use rosa::app::{keymap::Place, update::Msg};
use subrosa_client::{
    Request,
    api::{ConnectionState, ContactState, EventBody, Trust},
};
use subrosa_protocol::SafeText;

use crate::{
    stage::Stage,
    world::{World, event, message, received},
};

#[test]
fn chats_are_switched_by_number_place_and_need() {
    let mut world = World::peopled();
    world.unread("carol", 1);
    let mut stage = Stage::new(world);
    assert_eq!(stage.here(), "bob");
    stage.key("Alt-3");
    assert_eq!(stage.here(), "erin");
    stage.key("Alt-9");
    assert_eq!(stage.here(), "erin");
    stage.key("Alt-Down");
    assert_eq!(stage.here(), "dave");
    stage.key("Alt-Down");
    assert_eq!(stage.here(), "bob");
    stage.key("Alt-Up");
    assert_eq!(stage.here(), "dave");
    stage.key("Alt-A");
    assert_eq!(stage.here(), "carol");
    stage.key("Alt-A");
    assert!(stage.notice().contains("nothing unread"));
}

#[test]
fn marks_have_a_text_form() {
    let stage = Stage::sized(World::peopled(), 100, 24);
    for mark in ["> bob", "  carol            ..", "  erin           !key", "? dave (request) ", "act dave?"]
    {
        assert!(stage.shows(mark), "{mark}:\n{}", stage.screen());
    }
}

#[test]
fn the_palette_finds_chats_and_commands() {
    let mut stage = Stage::new(World::peopled());
    stage.key("Ctrl-P");
    assert_eq!(stage.model.place(), Place::Palette);
    stage.type_in("crl");
    assert!(stage.shows("> carol"));
    stage.key("Enter");
    assert_eq!(stage.here(), "carol");
    stage.key("Ctrl-K").type_in("/stat").key("Enter");
    assert!(stage.shows("prekeys"));
    stage.key("Esc").key("Ctrl-P").type_in("search").key("Enter");
    assert_eq!(stage.draft(), "/search ");
    stage.key("Ctrl-K");
    assert_eq!(stage.model.place(), Place::Write, "with text, Ctrl-K deletes to the end");
    stage.key("Ctrl-P").type_in("zzzz");
    assert!(stage.shows("nothing by that name"));
    stage.key("Enter");
    assert_eq!(stage.model.place(), Place::Write);
}

#[test]
fn a_request_stands_apart_and_enter_or_a_command_accepts() {
    let mut stage = Stage::new(World::peopled());
    stage.key("Alt-4");
    assert!(stage.shows("? dave wants to write to you. Enter accepts"), "{}", stage.screen());
    stage.key("Enter");
    assert_eq!(stage.world.contact("dave").state, ContactState::Accepted);
    assert!(!stage.shows("wants to write"));
    let mut stage = Stage::new(World::peopled());
    stage.enter("/accept dave");
    assert_eq!(stage.world.contact("dave").state, ContactState::Accepted);
    assert_eq!(stage.notice(), "dave may write to you now");
}

#[test]
fn enter_on_an_empty_line_elsewhere_does_nothing() {
    let mut stage = Stage::new(World::peopled());
    let asked = stage.world.asked.len();
    stage.key("Enter");
    assert_eq!(stage.world.asked.len(), asked);
}

#[test]
fn the_most_recent_chat_is_opened_but_never_a_request() {
    let mut world = World::empty();
    world.person("dave", ContactState::RequestReceived, Trust::Unverified);
    world.put(message("dave", 1, "dave", "hi"));
    world.unread("dave", 1);
    let stage = Stage::new(world);
    assert_eq!(stage.here(), "");
    assert_eq!(stage.world.asked_for(|r| matches!(r, Request::ChatRead { .. })), 0);
    let mut stage = Stage::locked(World::peopled(), 80, 24);
    stage.model.first_chat = Some("carol".to_owned());
    stage.send(Msg::Unlocked(Ok(())));
    assert_eq!(stage.here(), "carol");
}

#[test]
fn a_message_of_somebody_new_brings_them_into_the_list() {
    let mut stage = Stage::new(World::peopled());
    stage.world.person("gina", ContactState::RequestReceived, Trust::Unverified);
    let first = message("gina", 20, "gina", "hello");
    stage.world.put(first.clone());
    stage.world.unread("gina", 1);
    stage.event(received(&first));
    assert!(stage.shows("? gina (req"), "{}", stage.screen());
}

#[test]
fn the_status_line_tells_the_connection_and_what_is_queued() {
    let mut stage = Stage::sized(World::peopled(), 100, 24);
    assert!(stage.shows("alice@r.example  quic 23ms"));
    stage.world.status.queued = 3;
    let down = ConnectionState::Down { reason: SafeText::single_line("no route"), retry_in_ms: 4_000 };
    stage.world.status.connection = down.clone();
    stage.event(event(EventBody::ConnectionDown { connection: down }));
    assert!(stage.shows("offline") && stage.shows("queued 3"));
    stage.enter("/status");
    assert!(stage.shows("no route; tried again in 4 s"));
    stage.key("Esc").enter("/reconnect");
    assert_eq!(stage.world.asked_for(|r| matches!(r, Request::ConnectionReconnect {})), 1);
}

#[test]
fn a_click_opens_a_chat() {
    let mut stage = Stage::new(World::peopled());
    stage.send(Msg::Click { column: 3, row: 2 });
    assert_eq!(stage.here(), "carol");
    stage.send(Msg::Click { column: 30, row: 1 });
    assert_eq!(stage.here(), "carol");
}

#[test]
fn below_sixty_columns_the_list_lies_over_the_conversation() {
    let mut stage = Stage::sized(World::peopled(), 40, 12);
    assert!(!stage.shows("Chats (4)"));
    stage.key("Ctrl-B");
    assert!(stage.shows("Chats (4)"));
    stage.key("Alt-2");
    assert!(!stage.shows("Chats (4)"));
    let mut stage = Stage::new(World::peopled());
    stage.key("Ctrl-B");
    assert!(!stage.shows("Chats (4)"));
}

#[test]
fn refreshes_do_not_pile_up() {
    let mut stage = Stage::new(World::peopled());
    stage.answers = false;
    for _ in 0..100 {
        stage.event(event(EventBody::SyncDone {}));
        stage.event(event(EventBody::ContactAdded { name: "bob".to_owned() }));
    }
    assert!(stage.waiting.len() <= 4, "{}", stage.waiting.len());
}
