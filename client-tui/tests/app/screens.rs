//! Every screen and overlay at three sizes. All without colours: what a screen says must not need them.

use rosa::app::{terminal::painter::Painter, update::Msg};
use subrosa_client::{ApiError, api::Kind};

use crate::{
    stage::Stage,
    world::{World, message, received},
};

const SIZES: [(u16, u16); 3] = [(30, 8), (80, 24), (140, 40)];

fn each(name: &str, act: impl Fn(&mut Stage)) {
    for (width, height) in SIZES {
        let mut stage = Stage::sized(World::peopled(), width, height);
        act(&mut stage);
        insta::assert_snapshot!(format!("{name}_{width}x{height}"), stage.screen());
    }
}

#[test]
fn conversation() {
    each("conversation", |_| {});
}

#[test]
fn changed_key() {
    each("changed_key", |stage| {
        stage.key("Alt-3");
    });
}

#[test]
fn request() {
    each("request", |stage| {
        stage.key("Alt-4");
    });
}

#[test]
fn writing_several_lines() {
    each("writing", |stage| {
        stage
            .type_in("a first line")
            .key("Alt-Enter")
            .type_in("and a second one that is rather longer than the first");
    });
}

#[test]
fn command_line() {
    each("command_line", |stage| {
        stage.type_in("/ver");
    });
}

#[test]
fn refused_command() {
    each("refused_command", |stage| {
        stage.enter("/serach x");
    });
}

#[test]
fn selected() {
    each("selected", |stage| {
        stage.key("Shift-Up").key("k");
    });
}

#[test]
fn details() {
    each("details", |stage| {
        stage.key("Shift-Up").key("i");
    });
}

#[test]
fn scrolled_up_with_new_messages_below() {
    each("scrolled", |stage| {
        for order in 20..80 {
            stage.event(received(&message("bob", order, "bob", &format!("message {order}"))));
        }
        stage.key("PgUp").key("PgUp");
        stage.event(received(&message("bob", 80, "bob", "one more")));
    });
}

fn each_in_room(name: &str, act: impl Fn(&mut Stage)) {
    for (width, height) in SIZES {
        let mut stage = Stage::sized(World::with_room(), width, height);
        assert_eq!(stage.here(), "#ops");
        act(&mut stage);
        insta::assert_snapshot!(format!("{name}_{width}x{height}"), stage.screen());
    }
}

#[test]
fn room() {
    each_in_room("room", |_| {});
}

#[test]
fn room_members_toggled() {
    each_in_room("room_members_toggled", |stage| {
        stage.key("F8");
    });
}

#[test]
fn room_selected() {
    each_in_room("room_selected", |stage| {
        stage.key("Shift-Up").key("k").key("k");
    });
}

#[test]
fn room_details() {
    each_in_room("room_details", |stage| {
        stage.key("Shift-Up").key("g");
        for _ in 0..6 {
            stage.key("j");
        }
        stage.key("i");
    });
}

#[test]
fn room_sign_question() {
    each_in_room("room_sign_question", |stage| {
        stage.key("Shift-Up").key("k").key("k").key("+");
    });
}

#[test]
fn room_changing() {
    each_in_room("room_changing", |stage| {
        stage.key("Shift-Up").key("g");
        for _ in 0..6 {
            stage.key("j");
        }
        stage.key("e").type_in(" a lot");
    });
}

#[test]
fn room_invitation() {
    each_in_room("room_invitation", |stage| {
        let room = stage.world.room("#friends", "");
        room.state = Some(subrosa_client::api::RoomState::Invited);
        room.invited_by = Some("bob".to_owned());
        stage.send(Msg::Gap);
        stage.key("Alt-1");
    });
}

#[test]
fn rooms_page() {
    each_in_room("rooms_page", |stage| {
        stage.enter("/rooms");
    });
}

#[test]
fn help() {
    each("help", |stage| {
        stage.key("F1");
    });
}

#[test]
fn keys() {
    each("keys", |stage| {
        stage.enter("/keys");
    });
}

#[test]
fn status() {
    each("status", |stage| {
        stage.enter("/status");
    });
}

#[test]
fn palette() {
    each("palette", |stage| {
        stage.key("Ctrl-P").type_in("a");
    });
}

#[test]
fn search() {
    each("search", |stage| {
        stage.key("Ctrl-F").type_in("re");
    });
}

#[test]
fn search_results() {
    each("search_results", |stage| {
        stage.key("Ctrl-F").type_in("re").key("Enter");
    });
}

#[test]
fn verify() {
    each("verify", |stage| {
        stage.enter("/verify carol");
    });
}

#[test]
fn trust() {
    each("trust", |stage| {
        stage.enter("/trust erin");
    });
}

#[test]
fn paste_question() {
    each("paste_question", |stage| stage.send(Msg::Paste("one\ntwo\nthree\nfour\nfive\nsix".to_owned())));
}

#[test]
fn stray_question() {
    each("stray_question", |stage| {
        stage.enter("i/help");
    });
}

#[test]
fn sidebar_toggled() {
    each("sidebar_toggled", |stage| {
        stage.key("Ctrl-B");
    });
}

#[test]
fn first_start() {
    for (width, height) in SIZES {
        let stage = Stage::sized(World::empty(), width, height);
        insta::assert_snapshot!(format!("first_start_{width}x{height}"), stage.screen());
    }
}

#[test]
fn lock_screens() {
    for (width, height) in SIZES {
        let mut stage = Stage::locked(World::empty(), width, height);
        insta::assert_snapshot!(format!("locked_{width}x{height}"), stage.screen());
        stage.enter("secret");
        insta::assert_snapshot!(format!("opening_{width}x{height}"), stage.screen());
        let error = ApiError::new(Kind::NotReady, "wrong passphrase").hint("capital letters count");
        stage.send(Msg::Unlocked(Err(error)));
        insta::assert_snapshot!(format!("wrong_passphrase_{width}x{height}"), stage.screen());
    }
}

#[test]
fn no_color_means_no_colour_escapes() {
    let colours = |color: bool| {
        let mut stage = Stage::new(World::peopled());
        stage.model.settings.color = color;
        let mut seen = 0;
        for key in ["Alt-3", "Alt-4", "Alt-1", "Shift-Up", "Esc", "Ctrl-P", "Esc", "F1", "Esc", "/", "Esc"] {
            stage.key(key);
            let mut out = Vec::new();
            Painter::default().paint(&stage.buffer(), None, &mut out);
            let text = String::from_utf8(out).unwrap();
            for sequence in
                text.split("\u{1b}[").skip(1).filter_map(|rest| rest.split_once('m')).map(|(codes, _)| codes)
            {
                if sequence.chars().all(|c| c.is_ascii_digit() || c == ';') {
                    seen += sequence
                        .split(';')
                        .filter(|code| code.parse::<u16>().is_ok_and(|code| code >= 30))
                        .count();
                }
            }
        }
        seen
    };
    assert_eq!(colours(false), 0);
    assert!(colours(true) > 0);
}

#[test]
fn thirty_by_eight_still_reads_and_sends() {
    let mut stage = Stage::sized(World::peopled(), 30, 8);
    assert!(stage.shows("here is a"), "{}", stage.screen());
    stage.key("End");
    assert!(stage.shows("small terminal"), "{}", stage.screen());
    stage.enter("ok");
    assert_eq!(stage.sent(), [("bob".to_owned(), "ok".to_owned())]);
    assert!(stage.shows("you ok"), "{}", stage.screen());
    assert!(stage.shows("bob>"));
}
