//! Pages to read, and questions.

use subrosa_client::{Request, api::SafetyNumberInfo, api::Trust};

use super::{Effect, Purpose, submit, touch, write};
use crate::app::{
    keymap::Action,
    layout::page_rows,
    model::{Answer, Choice, Model, Overlay, Question},
    view, words,
};

pub(super) fn key(model: &mut Model, action: Option<Action>) {
    let rows = page_rows(model);
    let Some(Overlay::Page(page, scroll)) = model.desk().and_then(|desk| desk.overlay.as_ref()) else {
        model.lock_help = false;
        return;
    };
    let count = view::page_lines(model, model.desk(), page, model.size.width).len();
    let last = count.saturating_sub(rows);
    let scroll = match action {
        Some(Action::Up) => scroll.saturating_sub(1),
        Some(Action::Down) => scroll + 1,
        Some(Action::PageUp) => scroll.saturating_sub(rows.saturating_sub(1).max(1)),
        Some(Action::PageDown) => scroll + rows.saturating_sub(1).max(1),
        Some(Action::Oldest) => 0,
        Some(Action::Newest) => last,
        Some(Action::Close) => return leave(model),
        _ => *scroll,
    };
    if let Some(Overlay::Page(_, at)) = model.desk_mut().and_then(|desk| desk.overlay.as_mut()) {
        *at = scroll.min(last);
    }
}

/// Closes what lies over the conversation.
pub(super) fn leave(model: &mut Model) {
    if let Some(desk) = model.desk_mut() {
        desk.overlay = None;
    }
}

/// Shows somebody's number, to compare it; `accept` when a changed key is to be accepted.
pub(super) fn safety_number(model: &mut Model, info: SafetyNumberInfo, accept: bool) {
    let name = info.name;
    if accept && info.trust != Trust::Changed {
        let why = match info.trust {
            Trust::Forked => "contradicting device lists cannot be accepted; compare with /verify",
            _ => "the key has not changed; /verify compares it",
        };
        return model.tell(format!("{name}: {why}"));
    }
    // The digits come first: they are what a small screen must show.
    let mut lines = words::safety_number(&info.number);
    if let Some(previous) = &info.previous {
        lines.push("It was, before the key changed:".to_owned());
        lines.extend(words::safety_number(previous));
    }
    lines.push(format!("Compare it with what {name} sees, in person or in a call you trust."));
    if info.trust == Trust::Verified {
        lines.push("You have verified it before.".to_owned());
    }
    let number = info.number;
    let verified = Answer::Verified { name: name.clone(), number: number.clone() };
    let mut choices = vec![choice('y', "they match: verified", verified)];
    if info.trust == Trust::Changed {
        let trusted = Answer::Trusted { name: name.clone(), number };
        choices.push(choice('t', "accept it unseen", trusted));
    } else {
        choices.push(choice('n', "they differ, or later", Answer::Leave));
    }
    if let Some(desk) = model.desk_mut() {
        let title =
            if accept { format!("Accept {name}'s new key?") } else { format!("Safety number with {name}") };
        desk.overlay = Some(Overlay::Question(Question { title, lines, choices }));
    }
}

fn choice(key: char, label: &str, answer: Answer) -> Choice {
    Choice { key, label: label.to_owned(), answer }
}

/// Answers the open question with a key. Tells whether it is one of its keys.
pub(super) fn answer(model: &mut Model, key: char, fx: &mut Vec<Effect>) -> bool {
    let Some(desk) = model.desk_mut() else { return false };
    let Some(Overlay::Question(question)) = &desk.overlay else { return false };
    let Some(answer) =
        question.choices.iter().find(|choice| choice.key == key).map(|choice| choice.answer.clone())
    else {
        return false;
    };
    desk.overlay = None;
    match answer {
        Answer::Leave => model.tell("left as it was"),
        Answer::Paste(text) => write::insert_pasted(model, &text),
        Answer::Send(text) => {
            if submit::send(model, text.trim_end(), fx) {
                submit::clear(model, &text, fx);
            }
        }
        Answer::Run(command) => {
            let draft = model.desk().map(|desk| desk.composer.editor.text().to_owned()).unwrap_or_default();
            if submit::run(model, &command, fx) {
                submit::clear(model, &draft, fx);
            }
        }
        answer @ (Answer::TakeBack(_) | Answer::Sign { .. } | Answer::OtherSign { .. }) => {
            touch::answered(model, answer, fx);
        }
        Answer::Verified { name, number } => {
            fx.push(Effect::Call(Purpose::Verified, Request::ContactVerify { name, number }));
        }
        Answer::Trusted { name, number } => {
            let request = Request::ContactTrust { name, number: Some(number) };
            fx.push(Effect::Call(Purpose::Trusted, request));
        }
    }
    true
}
