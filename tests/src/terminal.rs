//! A program in a real terminal: a tmux server of its own, ended with its sessions.

use std::{
    process::{Command, Output},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

/// A tmux server with one window. Dropping it ends both.
pub struct Terminal {
    socket: String,
}

impl Terminal {
    /// Runs a command in a terminal of a size.
    pub fn run(command: &Command, columns: u16, lines: u16) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let socket = format!("subrosa-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let terminal = Self { socket };
        let mut line =
            vec!["env".to_owned(), "-i".into(), "TERM=tmux-256color".into(), "LANG=C.UTF-8".into()];
        for (name, value) in command.get_envs() {
            if let Some(value) = value {
                line.push(format!("{}={}", name.to_str().unwrap(), value.to_str().unwrap()));
            }
        }
        line.push(command.get_program().to_str().unwrap().to_owned());
        line.extend(command.get_args().map(|arg| arg.to_str().unwrap().to_owned()));
        let quoted: Vec<_> = line.iter().map(|word| format!("'{}'", word.replace('\'', "'\\''"))).collect();
        // The line that follows shows that the program ended, and how.
        let script = format!("{}; echo \"ended with $?\"; sleep 600", quoted.join(" "));
        let (x, y) = (columns.to_string(), lines.to_string());
        terminal.tmux(&[
            "-f",
            "/dev/null",
            "-u",
            "new-session",
            "-d",
            "-x",
            &x,
            "-y",
            &y,
            "sh",
            "-c",
            &script,
        ]);
        terminal
    }

    fn tmux(&self, args: &[&str]) -> Output {
        let output = Command::new("tmux").args(["-L", &self.socket]).args(args).output().unwrap();
        assert!(output.status.success(), "tmux {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        output
    }

    /// Presses keys, named as tmux names them (`Enter`, `C-p`, `M-Enter`).
    pub fn keys(&self, keys: &[&str]) {
        let mut args = vec!["send-keys"];
        args.extend(keys);
        self.tmux(&args);
    }

    /// Types text as it is.
    pub fn types(&self, text: &str) {
        self.tmux(&["send-keys", "-l", text]);
    }

    /// Pastes text, bracketed where the program asked for that.
    pub fn pastes(&self, text: &str) {
        self.tmux(&["set-buffer", text]);
        self.tmux(&["paste-buffer", "-p"]);
    }

    /// Changes the size.
    pub fn resize(&self, columns: u16, lines: u16) {
        self.tmux(&["resize-window", "-x", &columns.to_string(), "-y", &lines.to_string()]);
    }

    /// What the screen shows.
    pub fn screen(&self) -> String {
        String::from_utf8_lossy(&self.tmux(&["capture-pane", "-p"]).stdout).into_owned()
    }

    /// Waits until the screen shows a text.
    #[track_caller]
    pub fn shows(&self, text: &str) -> String {
        self.wait(&format!("{text:?} does not appear"), |screen| screen.contains(text))
    }

    /// Waits until the screen does not show a text.
    #[track_caller]
    pub fn hides(&self, text: &str) -> String {
        self.wait(&format!("{text:?} does not go away"), |screen| !screen.contains(text))
    }

    #[track_caller]
    fn wait(&self, complaint: &str, done: impl Fn(&str) -> bool) -> String {
        let began = Instant::now();
        loop {
            let screen = self.screen();
            if done(&screen) {
                return screen;
            }
            assert!(began.elapsed() < Duration::from_secs(90), "{complaint}:\n{screen}");
            thread::sleep(Duration::from_millis(30));
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = Command::new("tmux").args(["-L", &self.socket, "kill-server"]).output();
    }
}
