//! People of one relay and what they do with rooms, by the verbs of `rosa`.

use std::time::{Duration, Instant};

use serde_json::Value;
use subrosa_tests::{Outcome, Person, World, person::Daemon, relay::RelayOptions, world::FAST};

/// How long anything may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// People of one relay, each with a running daemon.
pub(crate) struct Scene {
    pub(crate) people: Vec<(Person, Daemon)>,
    pub(crate) world: World,
}

impl Scene {
    pub(crate) fn of(names: &[&str]) -> Self {
        Self::configured("", names)
    }

    /// With more of the relay's configuration.
    pub(crate) fn configured(config: &str, names: &[&str]) -> Self {
        Self::with(format!("{config}{FAST}"), names)
    }

    /// With other limits of the relay's.
    pub(crate) fn limited(limits: &str, names: &[&str]) -> Self {
        Self::with(format!("{FAST}{limits}"), names)
    }

    fn with(config: String, names: &[&str]) -> Self {
        let world = World::with(RelayOptions { config, ..RelayOptions::default() });
        let mut scene = Self { people: Vec::new(), world };
        names.iter().for_each(|name| scene.comes(name));
        scene
    }

    /// Somebody joins the relay.
    pub(crate) fn comes(&mut self, name: &str) {
        let person = self.world.joined(name);
        let daemon = person.daemon();
        self.people.push((person, daemon));
    }

    /// Somebody's daemon is killed.
    pub(crate) fn goes(&mut self, name: &str) -> Person {
        let at = self.people.iter().position(|(person, _)| person.name == name).unwrap();
        let (person, daemon) = self.people.remove(at);
        daemon.kill();
        person
    }

    /// Somebody's daemon runs again.
    pub(crate) fn returns(&mut self, person: Person) {
        let daemon = person.daemon();
        self.people.push((person, daemon));
    }

    pub(crate) fn who(&self, name: &str) -> &Person {
        &self.people.iter().find(|(person, _)| person.name == name).unwrap().0
    }

    /// `rosa room …` of somebody.
    pub(crate) fn room(&self, name: &str, args: &[&str]) -> Outcome {
        self.who(name).run(&[&["room"], args].concat())
    }

    /// Waits for an event and returns its data. Events before it are acknowledged.
    pub(crate) fn event(&self, name: &str, event: &str) -> Value {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            let heard = self.who(name).run(&["recv", "--filter", event, "--max", "1", "--timeout", "10s"]);
            if heard.code == Some(0) {
                return heard.lines()[0]["data"].clone();
            }
        }
        let seen = self.who(name).run(&["recv", "--since", "0", "--max", "100", "--ack", "manual"]);
        panic!("{name} never hears {event}, only {}", seen.stdout);
    }

    /// The next text that reaches somebody.
    pub(crate) fn hears(&self, name: &str) -> Value {
        self.event(name, "message.received")
    }

    pub(crate) fn says(&self, name: &str, room: &str, text: &str) -> String {
        let sent = self.who(name).run(&["send", room, text]).ok();
        sent.lines()[0]["results"][0]["id"].as_str().unwrap().to_owned()
    }

    /// Adds somebody, as soon as their device has published what it is added with.
    pub(crate) fn invite(&self, by: &str, room: &str, name: &str) {
        let began = Instant::now();
        loop {
            let outcome = self.room(by, &["invite", room, name]);
            if outcome.code == Some(0) {
                break;
            }
            let early = outcome.code == Some(5) && outcome.stderr.contains("cannot be added");
            assert!(early && began.elapsed() < PATIENCE, "{outcome:?}");
        }
    }

    /// Invites somebody, who accepts.
    pub(crate) fn bring(&self, by: &str, room: &str, name: &str) {
        self.invite(by, room, name);
        let invited = self.event(name, "room.invited");
        assert_eq!(invited["by"], by);
        self.room(name, &["join", invited["chat"].as_str().unwrap()]).ok();
    }

    pub(crate) fn members(&self, name: &str, room: &str) -> Vec<(String, String)> {
        let outcome = self.room(name, &["members", room]).ok();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let members = outcome.lines()[0]["members"].as_array().unwrap().clone();
        members.iter().map(|member| (text(&member["name"]), text(&member["role"]))).collect()
    }

    /// Waits until somebody sees these members.
    pub(crate) fn sees(&self, name: &str, room: &str, expected: &[(&str, &str)]) {
        let expected: Vec<_> =
            expected.iter().map(|(name, role)| ((*name).to_owned(), (*role).to_owned())).collect();
        let began = Instant::now();
        loop {
            let seen = self.members(name, room);
            if seen == expected {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "{name} sees {seen:?}, not {expected:?}");
        }
    }

    /// Waits until something is so.
    pub(crate) fn until(&self, what: &str, mut is_so: impl FnMut() -> bool) {
        let began = Instant::now();
        while !is_so() {
            assert!(began.elapsed() < PATIENCE, "never: {what}");
        }
    }

    /// Texts of a chat in order, as somebody sees it.
    pub(crate) fn history(&self, name: &str, room: &str) -> Vec<String> {
        let outcome = self.room(name, &["history", room, "--limit", "200"]).ok();
        let messages = outcome.lines()[0]["messages"].as_array().unwrap().clone();
        messages.iter().filter_map(|line| line["text"].as_str().map(str::to_owned)).collect()
    }

    /// Waits until a verb ends with this code.
    pub(crate) fn at_last(&self, code: i32, what: impl Fn() -> Outcome) -> Outcome {
        let began = Instant::now();
        loop {
            let outcome = what();
            if outcome.code == Some(code) {
                return outcome;
            }
            assert!(began.elapsed() < PATIENCE, "{outcome:?}");
        }
    }
}

/// The room in an answer.
pub(crate) fn shown(outcome: &Outcome) -> Value {
    outcome.lines()[0]["room"].clone()
}
