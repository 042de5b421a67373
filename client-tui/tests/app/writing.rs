//! Writing: sending, commands, pastes, drafts, history, completion.

use rosa::app::{
    ExitReason,
    keymap::Place,
    update::{Effect, Msg},
};
use subrosa_client::{ApiError, Request, api::Kind};

use crate::{stage::Stage, world::World};

fn open() -> Stage {
    Stage::new(World::peopled())
}

#[test]
fn enter_sends_and_empties_the_line() {
    let mut stage = open();
    stage.enter("hello there");
    assert_eq!(stage.sent(), [("bob".to_owned(), "hello there".to_owned())]);
    assert_eq!(stage.draft(), "");
    assert!(stage.shows("you hello there"));
    assert!(stage.shows(".."), "{}", stage.screen());
}

#[test]
fn three_keys_make_a_new_line_and_the_composer_grows_to_eight() {
    let mut stage = open();
    stage
        .type_in("a")
        .key("Alt-Enter")
        .type_in("b")
        .key("Shift-Enter")
        .type_in("c")
        .key("Ctrl-J")
        .type_in("d");
    assert_eq!(stage.draft(), "a\nb\nc\nd");
    for _ in 0..10 {
        stage.key("Alt-Enter");
    }
    let areas = rosa::app::layout::areas(&stage.model, stage.desk());
    assert_eq!(areas.composer.height, 8);
    stage.key("Enter");
    assert_eq!(stage.sent()[0].1, "a\nb\nc\nd");
}

#[test]
fn an_unknown_command_is_an_error_and_never_sent() {
    let mut stage = open();
    stage.enter("/serach x");
    assert!(stage.notice().contains("did you mean /search"), "{}", stage.notice());
    assert_eq!(stage.draft(), "/serach x");
    assert!(stage.sent().is_empty());
}

#[test]
fn two_slashes_send_one() {
    let mut stage = open();
    stage.enter("//etc/passwd");
    assert_eq!(stage.sent()[0].1, "/etc/passwd");
}

#[test]
fn a_stray_character_before_a_command_asks() {
    let mut stage = open();
    stage.enter("i/help");
    assert_eq!(stage.model.place(), Place::Question);
    assert!(stage.sent().is_empty());
    stage.key("Esc");
    assert_eq!(stage.draft(), "i/help");
    stage.key("Enter").key("s");
    assert_eq!(stage.sent()[0].1, "i/help");
    stage.enter("i/help").key("r");
    assert_eq!(stage.model.place(), Place::Page);
    assert_eq!(stage.sent().len(), 1);
}

#[test]
fn a_pasted_command_never_runs() {
    for pasted in ["/quit", "/quit\n", "hello\n/quit\n", " /quit"] {
        let mut stage = open();
        stage.send(Msg::Paste(pasted.to_owned()));
        assert!(stage.effects.is_empty());
        stage.key("Enter");
        assert!(!stage.effects.iter().any(|effect| matches!(effect, Effect::Quit(_))), "{pasted:?}");
        if stage.model.place() == Place::Question {
            assert!(stage.sent().is_empty());
            stage.key("r");
            assert!(!stage.effects.iter().any(|effect| matches!(effect, Effect::Quit(_))), "{pasted:?}");
            stage.key("s");
        }
        assert_eq!(stage.sent().len(), 1, "{pasted:?}");
    }
}

#[test]
fn a_paste_into_a_typed_command_is_its_argument() {
    let mut stage = open();
    stage.type_in("/msg carol ");
    stage.send(Msg::Paste("hi carol".to_owned()));
    stage.key("Enter");
    assert_eq!(stage.sent(), [("carol".to_owned(), "hi carol".to_owned())]);
}

#[test]
fn more_than_five_pasted_lines_ask() {
    let mut stage = open();
    stage.send(Msg::Paste("1\n2\n3\n4\n5".to_owned()));
    assert_eq!(stage.model.place(), Place::Write);
    stage.key("Ctrl-C");
    stage.send(Msg::Paste("1\r\n2\r3\n4\n5\n6\n".to_owned()));
    assert_eq!(stage.model.place(), Place::Question);
    assert!(stage.shows("6 lines"));
    stage.key("Esc");
    assert_eq!(stage.draft(), "");
    stage.send(Msg::Paste("1\n2\n3\n4\n5\n6\n".to_owned()));
    stage.key("y");
    assert_eq!(stage.draft(), "1\n2\n3\n4\n5\n6");
}

#[test]
fn ctrl_c_clears_keeps_in_history_and_twice_quits() {
    let mut stage = open();
    stage.type_in("a draft").key("Ctrl-C");
    assert_eq!(stage.draft(), "");
    stage.key("Up");
    assert_eq!(stage.draft(), "a draft");
    stage.pass(10_000).key("Ctrl-C").pass(2_500).key("Ctrl-C");
    assert!(stage.effects.is_empty());
    stage.type_in("x").key("Ctrl-C");
    assert!(stage.effects.is_empty(), "another key between them makes it the first again");
    stage.pass(1_500).key("Ctrl-C");
    assert!(matches!(stage.effects[..], [Effect::Quit(ExitReason::Quit)]));
}

#[test]
fn history_is_what_was_sent_before_also_in_an_earlier_run() {
    let mut stage = open();
    stage.key("Up");
    assert_eq!(stage.draft(), "yes, 0 lost");
    stage.key("Down");
    assert_eq!(stage.draft(), "");
    stage.enter("newer").key("Up");
    assert_eq!(stage.draft(), "newer");
}

#[test]
fn each_chat_keeps_its_draft_in_the_store() {
    let mut stage = open();
    stage.type_in("for bob").key("Alt-2");
    assert_eq!((stage.here(), stage.draft()), ("carol", ""));
    stage.type_in("for carol").key("Alt-1");
    assert_eq!((stage.here(), stage.draft()), ("bob", "for bob"));
    assert_eq!(stage.world.chat("carol").draft, "for carol");
    stage.type_in(" more").pass(2_000).send(Msg::Tick);
    assert_eq!(stage.world.chat("bob").draft, "for bob more");
    stage.key("Enter");
    assert_eq!(stage.world.chat("bob").draft, "");
}

#[test]
fn a_kept_draft_that_begins_with_a_slash_does_not_run() {
    let mut world = World::peopled();
    world.chat("bob").draft = "/quit".to_owned();
    let mut stage = Stage::new(world);
    stage.key("Enter");
    assert_eq!(stage.model.place(), Place::Question);
    assert!(stage.effects.is_empty());
}

#[test]
fn tab_completes_commands_and_names_and_goes_on() {
    let mut stage = open();
    stage.type_in("/ver").key("Tab");
    assert_eq!(stage.draft(), "/verify ");
    stage.type_in("ca").key("Tab");
    assert_eq!(stage.draft(), "/verify carol ");
    stage.key("Ctrl-U").type_in("/re").key("Tab");
    assert_eq!(stage.draft(), "/reply ");
    assert!(stage.shows("[/reply]  /rename  /renew  /react  /reconnect"));
    stage.key("Tab");
    assert_eq!(stage.draft(), "/rename ");
    stage.key("Shift-Tab");
    assert_eq!(stage.draft(), "/reply ");
    stage.key("Ctrl-U").type_in("hi @ca").key("Tab");
    assert_eq!(stage.draft(), "hi @carol ");
}

#[test]
fn a_command_being_typed_is_explained() {
    let mut stage = open();
    stage.type_in("/msg");
    assert!(stage.shows("/msg NAME [TEXT]  open a chat, and write there"));
}

#[test]
fn a_refused_text_comes_back() {
    let mut stage = open();
    stage.world.refuse_send = Some(ApiError::new(Kind::Refused, "too long").hint("make it shorter"));
    stage.enter("precious words");
    assert_eq!(stage.draft(), "precious words");
    assert_eq!(stage.notice(), "too long. make it shorter");
    stage.world.refuse_send = Some(ApiError::new(Kind::Refused, "no"));
    stage.key("Ctrl-C").enter("//quit");
    assert_eq!(stage.draft(), "/quit");
    stage.key("Enter");
    assert!(!stage.effects.iter().any(|effect| matches!(effect, Effect::Quit(_))));
}

#[test]
fn msg_opens_adds_and_writes() {
    let mut stage = open();
    stage.enter("/msg carol");
    assert_eq!(stage.here(), "carol");
    stage.enter("/query bob hi bob");
    assert_eq!(stage.here(), "bob");
    stage.enter("/msg frank hello frank");
    assert_eq!(stage.here(), "frank");
    assert_eq!(stage.sent().last().unwrap(), &("frank".to_owned(), "hello frank".to_owned()));
    stage.enter("/msg nobody hi");
    assert_eq!(stage.notice(), "there is no account nobody on this relay. check the spelling");
    assert_eq!(stage.here(), "frank");
    stage.key("Ctrl-C").enter("/msg");
    assert!(stage.notice().starts_with("/msg NAME"));
    stage.key("Ctrl-C").enter("/add gina");
    assert_eq!(stage.here(), "gina");
}

#[test]
fn answering_names_the_message() {
    let mut stage = open();
    stage.enter("/reply");
    assert!(stage.shows("answers bob: here is a longer"));
    stage.enter("indeed");
    let Some(Request::MessageSend(send)) =
        stage.world.asked.iter().rev().find(|request| matches!(request, Request::MessageSend(_)))
    else {
        panic!("nothing sent")
    };
    assert_eq!(send.reply_to.as_ref(), Some(&stage.world.messages[9].id));
    assert!(stage.desk().composer.reply_to.is_none());
}

#[test]
fn the_editor_gets_the_draft_and_gives_it_back() {
    let mut stage = open();
    stage.type_in("draft").key("Ctrl-O");
    assert!(matches!(&stage.effects[..], [Effect::Edit(draft)] if draft == "draft"));
    stage.send(Msg::Edited(Ok("/quit\n".to_owned())));
    assert_eq!(stage.draft(), "/quit");
    stage.key("Enter");
    assert_eq!(stage.model.place(), Place::Question);
    stage.key("Esc");
    stage.send(Msg::Edited(Err("the editor failed".to_owned())));
    assert_eq!((stage.draft(), stage.notice()), ("/quit", "the editor failed"));
}

#[test]
fn quitting_keeps_the_draft_and_not_the_command() {
    let mut stage = open();
    stage.type_in("unfinished");
    stage.send(Msg::Terminate);
    assert_eq!(stage.world.chat("bob").draft, "unfinished");
    assert!(matches!(stage.effects[..], [Effect::Quit(ExitReason::Terminated)]));
    let mut stage = open();
    stage.enter("/q");
    assert_eq!(stage.world.chat("bob").draft, "");
    assert!(matches!(stage.effects[..], [Effect::Quit(ExitReason::Quit)]));
}

#[test]
fn the_suspend_and_redraw_keys_reach_the_edge() {
    let mut stage = open();
    stage.key("Ctrl-Z").key("Ctrl-L");
    stage.send(Msg::Resumed);
    assert!(matches!(stage.effects[..], [Effect::Suspend, Effect::Redraw, Effect::Redraw]));
}

#[test]
fn help_is_about_this_place() {
    let mut stage = open();
    stage.key("?");
    assert!(stage.shows("Help: Conversation") && stage.shows("/msg NAME [TEXT]"));
    stage.key("Esc").type_in("a?");
    assert_eq!(stage.draft(), "a?");
    stage.key("F1");
    assert!(stage.shows("Help: Conversation"));
    stage.key("Esc").key("Ctrl-C").key("Shift-Up").key("?");
    assert!(stage.shows("Help: Selected message") && stage.shows("answer it"));
    stage.key("Esc").key("Esc").enter("/help trust");
    assert!(stage.shows("/trust [NAME]"));
    stage.key("Esc").enter("/keys");
    assert!(stage.shows("Keys"));
    stage.key("Esc").enter("/status");
    assert!(stage.shows("97 X25519 and 99 ML-KEM"));
}

#[test]
fn without_a_chat_nothing_is_sent() {
    let mut stage = Stage::new(World::empty());
    assert!(stage.shows("No chats yet."));
    stage.enter("hello?");
    assert!(stage.notice().contains("no chat is open"));
    assert!(stage.sent().is_empty());
    assert_eq!(stage.draft(), "hello?");
}

#[test]
fn what_is_typed_before_a_chat_is_there_goes_to_it_and_to_nobody_else() {
    let mut stage = open();
    assert_eq!(stage.desk().here(), Some("bob"));
    stage.answers = false;
    stage.enter("/msg zoe first").enter("second");
    assert!(stage.notice().contains("goes to zoe"), "{}", stage.notice());
    stage.type_in("thi");
    assert!(stage.sent().is_empty());
    stage.answers = true;
    stage.answer_waiting();
    assert_eq!(stage.desk().here(), Some("zoe"));
    assert_eq!(
        stage.sent(),
        [("zoe".to_owned(), "first".to_owned()), ("zoe".to_owned(), "second".to_owned())]
    );
    assert_eq!(stage.draft(), "thi");
    stage.type_in("rd").key("Enter");
    assert_eq!(stage.sent()[2], ("zoe".to_owned(), "third".to_owned()));
    // Nothing of it became bob's draft.
    assert!(stage.world.asked.iter().all(
        |asked| !matches!(asked, Request::ChatDraft { chat, text } if chat == "bob" && !text.is_empty())
    ));
}

#[test]
fn who_goes_elsewhere_meanwhile_stays_there() {
    let mut stage = open();
    stage.answers = false;
    stage.enter("/msg zoe").enter("for zoe");
    stage.answers = true;
    stage.enter("/msg bob").enter("for bob");
    stage.answer_waiting();
    assert_eq!(stage.desk().here(), Some("bob"));
    assert_eq!(
        stage.sent(),
        [("bob".to_owned(), "for bob".to_owned()), ("zoe".to_owned(), "for zoe".to_owned())]
    );
}

#[test]
fn texts_for_nobody_come_back() {
    let mut stage = open();
    stage.answers = false;
    stage.enter("/msg nobody").enter("one").enter("//two").type_in("thr");
    stage.answers = true;
    stage.answer_waiting();
    assert_eq!(stage.desk().here(), Some("bob"));
    assert_eq!(stage.draft(), "one\n/two\nthr");
    assert!(stage.notice().contains("no account nobody"), "{}", stage.notice());
    assert!(stage.sent().is_empty());
}
