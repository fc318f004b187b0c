//! The command line.

mod diff;
pub(crate) mod duration;
pub(crate) mod element;
mod examples;
mod plan;
mod recording;

use std::path::PathBuf;

use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use sockc_compiler::pipeline;
use sockc_runtime::{Expiry, Prefix, SlotKind};

use duration::expiry;
use element::element;

pub(crate) use diff::{Diff, View};
pub(crate) use plan::{Apply, Guards, Plan, Subject};
pub(crate) use recording::{Recording, Sockets};

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
    /// Send real packets through a policy in a throw-away network namespace
    #[command(after_help = examples::TRY)]
    Try(Try),
    /// Show what putting a policy in force would change, and what it would do to the kernel
    #[command(after_help = examples::PLAN)]
    Plan(Plan),
    /// Put a policy in force, all of it or nothing
    #[command(after_help = examples::APPLY)]
    Apply(Apply),
    /// Show what is in force
    #[command(after_help = examples::STATUS)]
    Status(Deployment),
    /// Show what each rule has counted
    #[command(after_help = examples::COUNTERS)]
    Counters(Counters),
    /// Print a text that comes with sockc, such as `essentials`
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
    /// Show or change a live map of the policy in force
    #[command(subcommand, after_help = examples::MAP)]
    Map(MapVerb),
    /// Show or change a live set of the policy in force
    #[command(subcommand, after_help = examples::SET)]
    Set(SetVerb),
    /// Show or hand over the sockets behind the names of the policy in force
    #[command(subcommand, after_help = examples::SOCKET)]
    Socket(SocketVerb),
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
#[derive(Args, Debug)]
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
    #[command(flatten)]
    pub(crate) counting: Counting,
    #[command(flatten)]
    pub(crate) lints: Lints,
}

/// Whether rules count.
#[derive(Args, Debug)]
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
#[derive(Args, Debug)]
pub(crate) struct Deployment {
    /// The network namespace, by the name `ip netns` knows or by a path [default: the caller's]
    #[arg(long, value_name = "NETNS")]
    pub(crate) netns: Option<String>,
    /// The bpf file system that holds the state
    #[arg(long, value_name = "DIR", default_value = "/sys/fs/bpf")]
    pub(crate) bpffs: PathBuf,
}

#[derive(Args, Debug)]
pub(crate) struct Show {
    /// The text, by the name that `include <NAME>` takes
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
}

#[derive(Args, Debug)]
pub(crate) struct Counters {
    #[command(flatten)]
    pub(crate) place: Deployment,
    /// Leave out what has counted nothing
    #[arg(long)]
    pub(crate) nonzero: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Unload {
    #[command(flatten)]
    pub(crate) place: Deployment,
    /// Never ask
    #[arg(long)]
    pub(crate) yes: bool,
}

/// What to do with a live set.
#[derive(Debug, Subcommand)]
pub(crate) enum SetVerb {
    /// Put elements in; those that are in get a new time
    Add(SetAdd),
    /// Take everything out, at once
    Clear(SetClear),
    /// Take elements out
    Del(SetDel),
    /// Show what is in it; without a name, which live sets there are
    List(SetList),
    /// Replace everything that is in it by the elements of a file, at once
    Load(SetLoad),
    /// Say whether an address is in it, by which element and until when; ends with 1 if it is not
    Test(SetTest),
}

#[derive(Args, Debug)]
pub(crate) struct SetAdd {
    /// The live set
    #[arg(value_name = "NAME")]
    pub(crate) set: String,
    /// Addresses and prefixes
    #[arg(required = true, value_name = "ELEMENT")]
    pub(crate) elements: Vec<String>,
    /// When they leave by themselves: `30s`, `10m`, `never` … [default: as the policy says]
    #[arg(long, value_name = "TIME", value_parser = expiry)]
    pub(crate) expires: Option<Expiry>,
    #[command(flatten)]
    pub(crate) place: Deployment,
}

#[derive(Args, Debug)]
pub(crate) struct SetClear {
    /// The live set
    #[arg(value_name = "NAME")]
    pub(crate) set: String,
    #[command(flatten)]
    pub(crate) place: Deployment,
}

#[derive(Args, Debug)]
pub(crate) struct SetDel {
    /// The live set
    #[arg(value_name = "NAME")]
    pub(crate) set: String,
    /// Addresses and prefixes, as they were put in
    #[arg(required = true, value_name = "ELEMENT")]
    pub(crate) elements: Vec<String>,
    /// Take out those that are in it, and say nothing of the others
    #[arg(long)]
    pub(crate) ignore_missing: bool,
    #[command(flatten)]
    pub(crate) place: Deployment,
}

#[derive(Args, Debug)]
pub(crate) struct SetList {
    /// The live set; left out, all of them are named
    #[arg(value_name = "NAME")]
    pub(crate) set: Option<String>,
    #[command(flatten)]
    pub(crate) place: Deployment,
}

#[derive(Args, Debug)]
pub(crate) struct SetLoad {
    /// The live set
    #[arg(value_name = "NAME")]
    pub(crate) set: String,
    /// One address or prefix a line, `#` begins a comment; `-` is standard input
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Empty the set if the file holds no element, which is refused otherwise
    #[arg(long)]
    pub(crate) empty: bool,
    /// When they leave by themselves: `30s`, `10m`, `never` … [default: as the policy says]
    #[arg(long, value_name = "TIME", value_parser = expiry)]
    pub(crate) expires: Option<Expiry>,
    #[command(flatten)]
    pub(crate) place: Deployment,
}

#[derive(Args, Debug)]
pub(crate) struct SetTest {
    /// The live set
    #[arg(value_name = "NAME")]
    pub(crate) set: String,
    /// The address
    #[arg(value_name = "ADDRESS")]
    pub(crate) address: String,
    #[command(flatten)]
    pub(crate) place: Deployment,
}

/// What to do with a live map.
#[derive(Debug, Subcommand)]
pub(crate) enum MapVerb {
    /// Put entries in
    Add(MapChange),
    /// Take everything out, at once
    Clear(MapClear),
    /// Take entries out
    Del(MapDel),
    /// Show what is in it; without a name, which live maps there are
    List(MapList),
    /// Replace everything that is in it by the entries of a file, at once
    Load(MapLoad),
}

#[derive(Args, Debug)]
pub(crate) struct MapChange {
    /// The live map
    #[arg(value_name = "NAME")]
    pub(crate) map: String,
    /// Entries as a policy writes them, such as 'tcp 198.51.100.7:* -> sock proxy'
    #[arg(required = true, value_name = "ENTRY")]
    pub(crate) entries: Vec<String>,
    #[command(flatten)]
    pub(crate) place: Deployment,
}

#[derive(Args, Debug)]
pub(crate) struct MapClear {
    /// The live map
    #[arg(value_name = "NAME")]
    pub(crate) map: String,
    #[command(flatten)]
    pub(crate) place: Deployment,
}

#[derive(Args, Debug)]
pub(crate) struct MapDel {
    /// The live map
    #[arg(value_name = "NAME")]
    pub(crate) map: String,
    /// Entries as a policy writes them; `-> sock …` may be left out
    #[arg(required = true, value_name = "ENTRY")]
    pub(crate) entries: Vec<String>,
    /// Take out those that are in it, and say nothing of the others
    #[arg(long)]
    pub(crate) ignore_missing: bool,
    #[command(flatten)]
    pub(crate) place: Deployment,
}

#[derive(Args, Debug)]
pub(crate) struct MapLoad {
    /// The live map
    #[arg(value_name = "NAME")]
    pub(crate) map: String,
    /// One entry a line, as a policy writes it; `#` begins a comment; `-` is standard input
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Empty the map if the file holds no entry, which is refused otherwise
    #[arg(long)]
    pub(crate) empty: bool,
    #[command(flatten)]
    pub(crate) place: Deployment,
}

#[derive(Args, Debug)]
pub(crate) struct MapList {
    /// The live map; left out, all of them are named
    #[arg(value_name = "NAME")]
    pub(crate) map: Option<String>,
    #[command(flatten)]
    pub(crate) place: Deployment,
}

/// What to do with named sockets.
#[derive(Debug, Subcommand)]
pub(crate) enum SocketVerb {
    /// Hand sockets over to a name that the policy declares as `registered`
    Register(SocketRegister),
    /// Take registered sockets out again
    Unregister(SocketUnregister),
    /// Look for sockets again: where the policy says they listen, or in the processes that it names
    Refresh(SocketRefresh),
    /// Show the named sockets and how they stand
    List(Deployment),
}

#[derive(Args, Debug)]
pub(crate) struct SocketRefresh {
    /// The socket's name in the policy [default: all]
    #[arg(value_name = "NAME")]
    pub(crate) socket: Option<String>,
    #[command(flatten)]
    pub(crate) place: Deployment,
}

#[derive(Args, Debug)]
#[command(group = ArgGroup::new("source").required(true).args(["pid", "listen_fds"]))]
pub(crate) struct SocketRegister {
    /// The socket's name in the policy
    #[arg(value_name = "NAME")]
    pub(crate) socket: String,
    /// The process that has the socket
    #[arg(long, value_name = "PID", requires = "fd")]
    pub(crate) pid: Option<u32>,
    /// The socket's descriptor in that process
    #[arg(long, value_name = "FD", requires = "pid")]
    pub(crate) fd: Option<i32>,
    /// The sockets that were handed to this command by systemd's protocol (LISTEN_FDS)
    #[arg(long)]
    pub(crate) listen_fds: bool,
    #[command(flatten)]
    pub(crate) place: Deployment,
}

#[derive(Args, Debug)]
pub(crate) struct SocketUnregister {
    /// The socket's name in the policy
    #[arg(value_name = "NAME")]
    pub(crate) socket: String,
    /// Only these: tcp4, tcp6, udp4, udp6 [default: all]
    #[arg(value_name = "SLOT", value_parser = slot_kind)]
    pub(crate) slots: Vec<SlotKind>,
    #[command(flatten)]
    pub(crate) place: Deployment,
}

/// Reads the name of a slot.
pub(crate) fn slot_kind(text: &str) -> Result<SlotKind, String> {
    let found = SlotKind::ALL.into_iter().find(|kind| kind.name() == text);
    found.ok_or_else(|| "write tcp4, tcp6, udp4 or udp6".to_owned())
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

    #[test]
    fn slots_are_named() {
        for kind in SlotKind::ALL {
            assert_eq!(slot_kind(kind.name()), Ok(kind));
        }
        assert!(slot_kind("tcp").is_err());
    }
}
