//! docs/SCRIPTING.md says what is so: every verb, flag, event, method and exit code is in it, and its examples are understood.

use clap::CommandFactory;
use rosa::cli::args::Cli;
use subrosa_client::{
    Event,
    api::{EventKind, Kind},
    attach::rpc::{self, Incoming},
};

const DOCS: &str = include_str!("../../../docs/SCRIPTING.md");

/// The lines of the blocks that are marked as JSON.
fn examples() -> impl Iterator<Item = &'static str> {
    DOCS.split("```json\n").skip(1).filter_map(|rest| rest.split("```").next()).flat_map(str::lines)
}

#[test]
fn every_verb_and_flag_is_described() {
    let command = Cli::command();
    let flags = |command: &clap::Command| {
        command.get_arguments().filter_map(|arg| arg.get_long().map(str::to_owned)).collect::<Vec<_>>()
    };
    for flag in flags(&command).into_iter().filter(|flag| flag != "help" && flag != "version") {
        assert!(DOCS.contains(&format!("--{flag}")), "--{flag}");
    }
    for verb in command.get_subcommands() {
        assert!(DOCS.contains(&format!("`rosa {}", verb.get_name())), "{}", verb.get_name());
        for flag in flags(verb).into_iter().filter(|flag| flag != "help") {
            assert!(DOCS.contains(&format!("--{flag}")), "rosa {} --{flag}", verb.get_name());
        }
    }
}

#[test]
fn every_event_has_an_example_that_is_one() {
    let events: Vec<Event> = examples()
        .filter(|line| line.starts_with("{\"v\":"))
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    for kind in EventKind::ALL {
        assert!(events.iter().any(|event| event.body.kind() == *kind), "{}", kind.name());
        assert!(DOCS.contains(&format!("`{}`", kind.name())), "{}", kind.name());
    }
    // And it is written as the program writes it.
    for (event, line) in events.iter().zip(examples()) {
        let written = serde_json::to_value(event).unwrap();
        assert_eq!(written, serde_json::from_str::<serde_json::Value>(line).unwrap());
    }
}

#[test]
fn every_method_has_an_example_that_is_understood() {
    let calls: Vec<&str> = examples().filter(|line| line.starts_with("{\"jsonrpc\"")).collect();
    for line in &calls {
        match rpc::parse(line).unwrap() {
            Incoming::Call(call) => drop(call.what.unwrap_or_else(|error| panic!("{error}: {line}"))),
            Incoming::Batch(_) => panic!("{line}"),
        }
    }
    // The refusal of an unknown method names all there are.
    let Incoming::Call(unknown) = rpc::parse(r#"{"jsonrpc":"2.0","id":1,"method":"?"}"#).unwrap() else {
        panic!()
    };
    let refusal = unknown.what.unwrap_err().message.to_string();
    let methods: Vec<&str> = refusal.split('`').filter(|word| word.contains('.')).collect();
    assert!(methods.len() > 20, "{refusal}");
    for method in methods.into_iter().chain([rpc::SUBSCRIBE]) {
        assert!(calls.iter().any(|line| line.contains(&format!("\"method\":\"{method}\""))), "{method}");
        assert!(DOCS.contains(&format!("| `{method}` |")), "{method}");
    }
}

#[test]
fn every_exit_code_is_in_the_table() {
    for kind in [
        Kind::Internal,
        Kind::Usage,
        Kind::NotReady,
        Kind::Unreachable,
        Kind::Refused,
        Kind::Identity,
        Kind::NotFound,
        Kind::Partial,
        Kind::Timeout,
        Kind::RateLimited,
    ] {
        let name = serde_json::to_value(kind).unwrap();
        let row = format!("| {} | `{}` |", kind.exit_code(), name.as_str().unwrap());
        assert!(DOCS.contains(&row), "{row}");
    }
}
