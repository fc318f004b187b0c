//! The command line.

mod answer;
mod confirm;
mod counters;
mod diff;
pub(crate) mod duration;
pub(crate) mod element;
mod examples;
mod history;
mod import;
mod live;
mod metrics;
mod monitor;
mod plan;
mod recording;
pub(crate) mod suggested;
mod test;
mod top;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use sockc_compiler::pipeline;
use sockc_runtime::Prefix;

use element::element;

pub(crate) use answer::{ANSWERS_AT, Answer};
pub(crate) use confirm::Confirm;
pub(crate) use counters::Counters;
pub(crate) use diff::{Diff, View};
pub(crate) use history::{Rollback, Show, Why};
pub(crate) use import::{
    Bfcli, Firewalld, ImportVerb, IptablesSave, Nft, Tubular, Ufw, Written, is_interface,
};
pub(crate) use live::{
    MapChange, MapClear, MapDel, MapLoad, MapVerb, SetLoad, SetTest, SetVerb, SocketListen,
    SocketPair, SocketRefresh, SocketRegister, SocketRun, SocketUnregister, SocketVerb,
};
pub(crate) use metrics::{Door, Form, Metrics, NOT_LOOPBACK};
pub(crate) use monitor::Monitor;
pub(crate) use plan::{Apply, Boot, Guards, Plan, StartFrom, Subject};
pub(crate) use recording::{Recording, Sockets};
pub(crate) use test::Test;
pub(crate) use top::{Sort, Top};

/// Compiles one readable list of firewall and steering rules to BPF and runs it.
#[derive(Debug, Parser)]
#[command(
    name = "sockc",
    version,
    arg_required_else_help = true,
    max_term_width = 100
)]
pub(crate) struct Arguments {
    /// Print results as JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Colour of messages and differences
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub(crate) color: Color,
    /// Say how long each stage took, and the most memory that was used
    #[arg(short, long, global = true)]
    pub(crate) verbose: bool,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// When messages are coloured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    /// In every case
    Always,
    /// In no case
    Never,
}

impl Color {
    /// Whether there is to be colour; `None` where that is for a terminal to say.
    pub(crate) fn wish(self) -> Option<bool> {
        match self {
            Self::Auto => None,
            Self::Always => Some(true),
            Self::Never => Some(false),
        }
    }
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Say what is wrong with a policy; silent if nothing is
    #[command(after_help = examples::CHECK)]
    Check(Check),
    /// Bring policies into their canonical form, comments kept
    #[command(after_help = examples::FMT)]
    Fmt(Fmt),
    /// Compile a policy to an object file
    #[command(after_help = examples::COMPILE)]
    Compile(Compile),
    /// Say which rule decides a packet, and why the earlier ones do not
    #[command(after_help = examples::EXPLAIN)]
    Explain(Explain),
    /// Say what two policies do differently, with an example packet for each change
    #[command(after_help = examples::DIFF)]
    Diff(Diff),
    /// Say of each `expect` line and guard whether it holds, and which small changes none of them notices
    #[command(after_help = examples::TEST)]
    Test(Test),
    /// Send real packets through a policy in a throw-away network namespace
    #[command(after_help = examples::TRY)]
    Try(Try),
    /// Show what putting a policy in force would change, and what it would do to the kernel
    #[command(after_help = examples::PLAN)]
    Plan(Plan),
    /// Put a policy in force, all of it or nothing
    #[command(after_help = examples::APPLY)]
    Apply(Apply),
    /// Answer reading commands of a group whose members have not the rights, until SIGTERM
    #[command(after_help = examples::ANSWER)]
    Answer(Answer),
    /// Keep what `apply --confirm` has put in force
    #[command(after_help = examples::CONFIRM)]
    Confirm(Confirm),
    /// Say what of this machine matters to sockc, and what to do where something is not as it should be
    #[command(after_help = examples::DOCTOR)]
    Doctor(Deployment),
    /// Show what is in force
    #[command(after_help = examples::STATUS)]
    Status(Deployment),
    /// Show what each rule has counted
    #[command(after_help = examples::COUNTERS)]
    Counters(Counters),
    /// List the generations that were in force, and who put them there
    #[command(after_help = examples::HISTORY)]
    History(Deployment),
    /// End the trial of what waits to be confirmed, or put a generation that was in force before in force again, without any file
    #[command(after_help = examples::ROLLBACK)]
    Rollback(Rollback),
    /// Print the text of what is in force, or one that comes with sockc, such as `essentials`
    #[command(after_help = examples::SHOW)]
    Show(Show),
    /// Print the page of a diagnostic, or list all of them
    #[command(after_help = examples::EXPLAIN_CODE)]
    ExplainCode(ExplainCode),
    /// Print what makes a shell complete command lines of sockc
    #[command(after_help = examples::COMPLETIONS)]
    Completions(Completions),
    /// Write the manual pages of sockc and of its verbs
    #[command(after_help = examples::MAN)]
    Man(Man),
    /// Write a policy that does what the configuration of another tool does
    #[command(subcommand, after_help = examples::IMPORT)]
    Import(ImportVerb),
    /// Show or change a live map of the policy in force
    #[command(subcommand, after_help = examples::MAP)]
    Map(MapVerb),
    /// Print what is in force and what it counted in the format of Prometheus, or answer its requests
    #[command(after_help = examples::METRICS)]
    Metrics(Metrics),
    /// Print what rules with `log` write, as it comes, until interrupted
    #[command(after_help = examples::MONITOR)]
    Monitor(Monitor),
    /// Show or change a live set of the policy in force
    #[command(subcommand, after_help = examples::SET)]
    Set(SetVerb),
    /// Show or hand over the sockets behind the names of the policy in force
    #[command(subcommand, after_help = examples::SOCKET)]
    Socket(SocketVerb),
    /// Show on the terminal, again and again, what rules count a second, live sets, live maps and sockets, until `q`
    #[command(after_help = examples::TOP)]
    Top(Top),
    /// Remove the policy in force
    #[command(after_help = examples::UNLOAD)]
    Unload(Unload),
}

#[derive(Args, Debug)]
pub(crate) struct Check {
    /// Policies; `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Warn of this too, which is not told otherwise: W0611; `all` for everything there is
    #[arg(long, value_name = "CODE|all")]
    pub(crate) warn: Vec<String>,
    /// Say too where a policy does not keep to the `expect` lines of this file; may be given several times
    #[arg(long = "guard", value_name = "FILE")]
    pub(crate) guards: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) lints: Lints,
}

/// What becomes of warnings.
#[derive(Args, Debug, Default)]
pub(crate) struct Lints {
    /// Take warnings of this code for errors; `all` for every warning
    #[arg(long, value_name = "CODE|all")]
    pub(crate) deny: Vec<String>,
    /// Say nothing of what has this code; `all` for every warning
    #[arg(long, value_name = "CODE|all")]
    pub(crate) allow: Vec<String>,
}

#[derive(Args, Debug)]
pub(crate) struct ExplainCode {
    /// The code, such as `E0203`; left out, all codes are listed
    #[arg(value_name = "CODE")]
    pub(crate) code: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct Completions {
    /// The shell
    #[arg(value_name = "SHELL")]
    pub(crate) shell: Shell,
}

#[derive(Args, Debug)]
pub(crate) struct Man {
    /// Where the pages are written, each as a file: a folder, which is made if need be
    #[arg(value_name = "DIR")]
    pub(crate) folder: PathBuf,
}

#[derive(Args, Debug)]
pub(crate) struct Fmt {
    /// Policies, rewritten in place; `-` is standard input, written to standard output
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Change nothing, name the files that would change and end with 1 if there are any
    #[arg(long)]
    pub(crate) check: bool,
    /// Show each line that would change
    #[arg(long, requires = "check")]
    pub(crate) diff: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Compile {
    /// The policy; `-` is standard input
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Where to write; `-` is standard output [default: STEM.o in the current folder]
    #[arg(short, long, value_name = "OUT")]
    pub(crate) output: Option<PathBuf>,
    /// Write this stage instead, as text on standard output unless -o says otherwise
    #[arg(long, value_name = "STAGE", default_value = "elf")]
    pub(crate) emit: Emit,
    /// For interfaces that are veth: packets that arrive meet the rules at tc, as when `apply` finds such
    #[arg(long)]
    pub(crate) for_veth: bool,
    #[command(flatten)]
    pub(crate) counting: Counting,
    #[command(flatten)]
    pub(crate) lints: Lints,
}

/// Whether rules count.
#[derive(Args, Debug, Default)]
pub(crate) struct Counting {
    /// Leave the counters of rules and defaults out: each packet is decided a little faster
    #[arg(long)]
    pub(crate) no_counters: bool,
}

impl Counting {
    /// The same for the compiler.
    pub(crate) fn counters(&self) -> pipeline::Counters {
        if self.no_counters {
            pipeline::Counters::LeftOut
        } else {
            pipeline::Counters::Kept
        }
    }
}

/// A stage of the compiler.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Emit {
    /// The syntax tree of the text
    Tokens,
    /// The resolved policy
    Policy,
    /// For each rule its hook and the reason
    Placement,
    /// The decision structure of each hook
    Decision,
    /// The intermediate representation as it is lowered, before all passes
    IrLowered,
    /// The intermediate representation, after all passes
    Ir,
    /// The instructions
    Asm,
    /// What a runtime is told
    Json,
    /// The decision structure as a graph
    Dot,
    /// The object file
    Elf,
}

#[derive(Args, Debug)]
pub(crate) struct Explain {
    /// The policy; `-` is standard input
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// A packet such as `tcp from 8.8.8.8:40000 to 192.0.2.1:22 with socket listening`
    #[arg(value_name = "PACKET")]
    pub(crate) packet: Vec<String>,
    /// A recording (pcap or pcapng): one line for each packet, and a sum for each rule
    #[arg(long, value_name = "FILE", conflicts_with = "packet")]
    pub(crate) pcap: Option<PathBuf>,
    /// An address or prefix of the recorded machine: packets from it leave, others arrive; may be given several times
    /// [default: as the recording says, else all arrive]
    #[arg(long, value_name = "ADDRESS", requires = "pcap", value_parser = element)]
    pub(crate) local: Vec<Prefix>,
    /// The sockets that the recorded machine is taken to have had
    #[arg(
        long,
        value_name = "WHICH",
        requires = "pcap",
        default_value = "traffic"
    )]
    pub(crate) sockets: Sockets,
    /// Tell of every rule why it does not match, also where they are many
    #[arg(long, conflicts_with = "pcap")]
    pub(crate) all: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Try {
    /// The policy; `-` is standard input
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Packets such as `tcp from 8.8.8.8:40000 to 192.0.2.1:22`; left out: one for each rule and each default
    #[arg(value_name = "PACKET")]
    pub(crate) packets: Vec<String>,
    #[command(flatten)]
    pub(crate) lints: Lints,
}

/// Where the policy is in force.
#[derive(Args, Clone, Debug)]
pub(crate) struct Deployment {
    /// The network namespace, by the name `ip netns` knows or by a path [default: the caller's]
    #[arg(long, value_name = "NETNS")]
    pub(crate) netns: Option<String>,
    /// The bpf file system that holds the state
    #[arg(long, value_name = "DIR", default_value = "/sys/fs/bpf")]
    pub(crate) bpffs: PathBuf,
}

#[derive(Args, Debug)]
pub(crate) struct Unload {
    #[command(flatten)]
    pub(crate) place: Deployment,
    /// Never ask
    #[arg(long)]
    pub(crate) yes: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definitions_are_sound() {
        Arguments::command().debug_assert();
    }

    /// The words of a command line, as a shell takes them: quotes hold blanks together.
    fn words(line: &str) -> Vec<String> {
        let mut words = Vec::new();
        for (place, part) in line.split('\'').enumerate() {
            match place % 2 {
                1 => words.push(part.to_owned()),
                _ => words.extend(part.split_whitespace().map(str::to_owned)),
            }
        }
        words
    }

    #[test]
    fn what_the_manual_says_instead_of_tubectl_is_command_lines() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let page = std::fs::read_to_string(root.join("docs/coming-from/tubular.md")).unwrap();
        let spans = page.split('`').skip(1).step_by(2);
        let lines: Vec<&str> = spans.filter(|span| span.starts_with("sockc ")).collect();
        assert!(lines.len() > 15, "{lines:?}");
        for line in lines {
            let parsed = Arguments::try_parse_from(words(line));
            let shown = parsed.err().filter(clap::Error::use_stderr);
            assert!(shown.is_none(), "{line}\n{}", shown.unwrap());
        }
    }

    #[test]
    fn every_verb_has_examples_that_are_command_lines_of_its() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        for verb in Arguments::command().get_subcommands() {
            let name = verb.get_name();
            let below = verb
                .get_after_help()
                .map(ToString::to_string)
                .unwrap_or_default();
            let examples: Vec<&str> = below
                .lines()
                .filter(|line| line.starts_with("  "))
                .collect();
            assert!(!examples.is_empty(), "{name}");
            for example in examples {
                let (_, line) = example.split_at(example.find("sockc ").unwrap());
                let words = words(line);
                assert_eq!(words[1], name, "{example}");
                let parsed = Arguments::try_parse_from(words);
                assert!(parsed.is_ok(), "{example}\n{}", parsed.unwrap_err());
            }
            let pages = below.split_once("More: ").unwrap().1;
            for page in pages.split(", ") {
                assert!(root.join(page).is_file(), "{name}: {page}");
            }
        }
    }
}
