//! What Enter does with the draft, and what a line of the line mode does.

use subrosa_client::{
    Request,
    api::{ContactState, SendMessage, WaitFor},
};

use super::{Effect, Purpose, command, conversation, page, save_draft, touch};
use crate::app::{
    commands::parse::{Input, parse},
    model::{Answer, Choice, Model, Overlay, Question, Screen, is_request},
    text::cells,
};

/// Enter in the composer.
pub(super) fn draft(model: &mut Model, fx: &mut Vec<Effect>) {
    let Some(desk) = model.desk() else { return };
    if desk.composer.aimed.is_some() {
        return touch::carry_out(model, fx);
    }
    let text = desk.composer.editor.text().to_owned();
    let pasted = desk.composer.pasted;
    if let (Input::Nothing, Some(who)) = (parse(&text), desk.partner())
        && who.state == ContactState::RequestReceived
    {
        let name = who.name.clone();
        fx.push(Effect::Call(Purpose::Accepted, Request::ContactAccept { name }));
        return;
    }
    let invited = desk.here().and_then(|name| desk.chats.find(name)).filter(|chat| is_request(chat));
    if let (Input::Nothing, Some(chat)) = (parse(&text), invited) {
        fx.push(Effect::Call(Purpose::Entered, Request::RoomJoin { room: chat.chat.clone() }));
        return;
    }
    if pasted && !matches!(parse(&text), Input::Text(plain) if !text.starts_with('/') || plain.is_empty()) {
        return ask_pasted(model, text);
    }
    if run(model, &text, fx) {
        clear(model, &text, fx);
    }
}

/// A line of the line mode: an answer to a question, a command or a text.
pub(super) fn line(model: &mut Model, line: &str, fx: &mut Vec<Effect>) {
    model.notice = None;
    let question = matches!(model.desk().and_then(|desk| desk.overlay.as_ref()), Some(Overlay::Question(_)));
    if question {
        let mut chars = line.trim().chars();
        match (chars.next(), chars.next()) {
            (Some(key), None) if page::answer(model, key, fx) => {}
            _ => {
                page::leave(model);
                model.tell("left as it was");
            }
        }
        return;
    }
    if let Screen::Open(desk) = &mut model.screen {
        desk.overlay = None;
    }
    // Alone on a line, as in an empty composer.
    let _ = run(model, if line.trim() == "?" { "/help" } else { line }, fx);
}

/// Several lines at once in the line mode: a paste, which never runs a command.
pub(super) fn pasted_lines(model: &mut Model, text: &str) {
    let count = text.lines().count();
    let lines = vec![format!("{count} lines came at once.")];
    question(model, "Pasted?", lines, vec![('s', "send them as one message", Answer::Send(text.to_owned()))]);
}

fn ask_pasted(model: &mut Model, text: String) {
    let lines = vec![
        "This was pasted, and what is pasted never runs as a command:".to_owned(),
        format!("  {}", cells::fit(&cells::one_line(&text), 58)),
    ];
    question(model, "Pasted", lines, vec![('s', "send it as a text", Answer::Send(text))]);
}

fn ask_stray(model: &mut Model, text: &str, command: &str, name: &str) {
    let lines = vec![format!("This looks like the command /{name}:"), format!("  {}", cells::one_line(text))];
    let choices = vec![
        ('r', "run the command", Answer::Run(command.to_owned())),
        ('s', "send it as a text", Answer::Send(text.to_owned())),
    ];
    question(model, "Command or text?", lines, choices);
}

fn question(model: &mut Model, title: &str, lines: Vec<String>, choices: Vec<(char, &str, Answer)>) {
    let choices =
        choices.into_iter().map(|(key, label, answer)| Choice { key, label: label.to_owned(), answer });
    let question = Question { title: title.to_owned(), lines, choices: choices.collect() };
    if let Some(desk) = model.desk_mut() {
        desk.overlay = Some(Overlay::Question(question));
    }
}

/// Carries out a line of input. Tells whether it is done with, so that the composer can be emptied.
pub(super) fn run(model: &mut Model, text: &str, fx: &mut Vec<Effect>) -> bool {
    match parse(text) {
        Input::Nothing => false,
        Input::Text(plain) => send(model, plain, fx),
        Input::Command(command, arguments) => command::run(model, command, arguments, fx),
        Input::Unknown { name, meant } => {
            let name = cells::fit(name, 20);
            model.complain(match meant {
                Some(meant) => format!("no command /{name}: did you mean /{meant}?"),
                None => format!("no command /{name}; // sends a slash, F1 helps"),
            });
            false
        }
        Input::Stray { command, name } => {
            ask_stray(model, text, command, name);
            false
        }
    }
}

/// Sends a text to the open chat, or keeps it for the one that is being opened. Tells whether there is one.
pub(super) fn send(model: &mut Model, text: &str, fx: &mut Vec<Effect>) -> bool {
    if let Some(awaited) = model.desk().and_then(|desk| desk.openings.awaited()) {
        let name = cells::fit(awaited, 20);
        let kept = model.desk_mut().is_some_and(|desk| desk.openings.push(text));
        if kept {
            model.tell(format!("goes to {name} as soon as the relay has told who that is"));
        } else {
            model.complain(format!("too much waits for {name} already"));
        }
        return kept;
    }
    let Some(open) = model.desk_mut().and_then(|desk| desk.open.as_mut()) else {
        model.complain("no chat is open: /msg NAME opens one, Ctrl-P finds one");
        return false;
    };
    open.new_after = None;
    let chat = open.chat.clone();
    let reply_to = model.desk_mut().and_then(|desk| desk.composer.reply_to.take()).map(|reply| reply.id);
    send_to(chat, text, reply_to, fx);
    conversation::to_newest(model, fx);
    true
}

/// Sends a text to a chat by name.
pub(super) fn send_to(chat: String, text: &str, reply_to: Option<String>, fx: &mut Vec<Effect>) {
    let send = SendMessage {
        to: vec![chat.clone()],
        text: text.to_owned(),
        reply_to,
        key: None,
        wait: WaitFor::Queued,
        timeout_ms: None,
    };
    fx.push(Effect::Call(Purpose::Sent { chat, text: text.to_owned() }, Request::MessageSend(send)));
}

/// Empties the composer after its text was dealt with; `Up` brings it back. Where the command opened another chat, its
/// draft is there already.
pub(super) fn clear(model: &mut Model, text: &str, fx: &mut Vec<Effect>) {
    let Some(desk) = model.desk_mut() else { return };
    let chat = desk.here().unwrap_or_default().to_owned();
    desk.composer.remember(&chat, text);
    if desk.composer.editor.text() == text {
        desk.composer.editor.forget();
        desk.composer.changed();
    }
    save_draft(model, fx);
}
