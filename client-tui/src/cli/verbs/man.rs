//! `rosa man`: the man page in roff, from the same definition as `--help`.

use clap::{Command, CommandFactory};

use crate::cli::{args::Cli, context::Context, failure::Failure};

/// Prints the man page.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: rosa man send | man -l -")]
pub struct Args {
    /// A verb; without one, the page of rosa itself
    pub verb: Option<String>,
}

/// # Errors
/// When there is no such verb.
pub fn run(args: Args, context: &Context) -> Result<(), Failure> {
    let command = match args.verb.as_deref() {
        None => whole(),
        Some(verb) => page(verb).ok_or_else(|| {
            Failure::usage(format!("there is no verb {verb:?}"), "`rosa --help` lists them")
        })?,
    };
    let mut roff = Vec::new();
    clap_mangen::Man::new(command).render(&mut roff)?;
    context.out.text(String::from_utf8_lossy(&roff).trim_end())
}

fn whole() -> Command {
    let mut command = Cli::command();
    command.build();
    command
}

fn page(verb: &str) -> Option<Command> {
    // Building has given it its whole name: `rosa-send`.
    whole().find_subcommand(verb).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verb_has_a_page_with_what_every_verb_takes() {
        for verb in Cli::command().get_subcommands() {
            let mut roff = Vec::new();
            clap_mangen::Man::new(page(verb.get_name()).unwrap()).render(&mut roff).unwrap();
            let roff = String::from_utf8(roff).unwrap();
            assert!(roff.contains("\\-\\-profile"), "{}", verb.get_name());
            assert!(roff.contains(&format!("rosa\\-{}", verb.get_name())), "{}", verb.get_name());
        }
        assert!(page("nothing").is_none());
    }
}
