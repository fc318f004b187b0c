//! What is said of an example: of a policy, of rules in the frame, of a guard, of packets.

use sockc_compiler::files::Texts;
use sockc_compiler::guard::{self, GuardText};
use sockc_compiler::kept::KeptTexts;
use sockc_compiler::packet::text;
use sockc_compiler::pipeline::{self, Compilation};
use sockc_compiler::policy::Policy;
use sockc_compiler::target::Target;
use sockc_grammar::diagnostic::{Diagnostic, Severity};
use sockc_grammar::source::{SourceMap, Span};

use super::page::{Block, Kind, Page};
use super::{frame, mistakes};

/// Diagnostics, and the texts that they are about.
pub(super) struct Said {
    pub(super) sources: SourceMap,
    pub(super) found: Vec<Diagnostic>,
    /// Whether there are programs, where that is asked.
    pub(super) built: Option<bool>,
}

/// What is said of an example; of packets, for each that something is said of.
pub(super) fn said_of(block: &Block, page: &Page) -> Vec<Said> {
    let files = page.files();
    match &block.kind {
        Kind::Policy | Kind::Bad(_) | Kind::Later => vec![of_a_policy(&block.text, &files)],
        Kind::Rules | Kind::LaterRules => vec![in_the_frame(&block.text, &files)],
        Kind::Guard | Kind::BadGuard(_) => vec![of_a_guard(block, page)],
        Kind::Packets | Kind::BadPackets(_) => of_packets(&block.text),
        Kind::Frame | Kind::File(_) | Kind::Says | Kind::Shown | Kind::Unknown(_) => Vec::new(),
    }
}

/// What a compile of a whole policy says, `expect` lines included.
fn of_a_policy(policy: &str, files: &[(String, String)]) -> Said {
    let (sources, outcome) = compile(policy, files);
    assert_eq!(outcome.internal, None, "{policy}");
    Said {
        sources,
        built: Some(outcome.built.is_some()),
        found: outcome.diagnostics,
    }
}

fn compile(policy: &str, files: &[(String, String)]) -> (SourceMap, Compilation) {
    let mut sources = SourceMap::default();
    let id = sources.add("example.sk", policy);
    let own = Texts::default().with("example.sk", policy);
    let mut texts = files
        .iter()
        .fold(own, |texts, (name, text)| texts.with(name, text.as_str()));
    let mut outcome =
        pipeline::compile(&mut sources, id, "example", &Target::baseline(), &mut texts);
    mistakes::add_optional(&mut outcome, id);
    (sources, outcome)
}

/// What is wrong with rules in the frame. Warnings of the frame's own lines are not theirs.
fn in_the_frame(rules: &str, files: &[(String, String)]) -> Said {
    let frame = frame::around(rules);
    let before = u32::try_from(frame.lines().count()).unwrap();
    let mut said = of_a_policy(&format!("{frame}{rules}"), files);
    let sources = &said.sources;
    said.found.retain(|found| {
        found.severity == Severity::Error || sources.place(found.primary.span).0 > before
    });
    said
}

/// What a guard says of the last policy before it.
fn of_a_guard(block: &Block, page: &Page) -> Said {
    let before = page
        .blocks
        .iter()
        .take_while(|one| one.place != block.place);
    let policies = before.filter(|one| one.kind == Kind::Policy);
    let Some(policy) = policies.last() else {
        panic!("{}: no policy stands before this guard", block.place);
    };
    let policy = KeptTexts {
        texts: Texts::default(),
        name: "example.sk".to_owned(),
        text: policy.text.clone(),
        stem: "example".to_owned(),
    };
    let guard = GuardText {
        name: "guard.sk".to_owned(),
        text: block.text.clone(),
    };
    let guarded = guard::check(&policy, &[guard], &mut Texts::default());
    let violated = guarded.violations().map(|one| &one.diagnostic);
    let found = guarded.mistakes.iter().chain(violated).cloned().collect();
    Said {
        found,
        sources: guarded.sources,
        built: None,
    }
}

/// What is wrong with packets, one a line.
fn of_packets(lines: &str) -> Vec<Said> {
    let (sources, outcome) = compile(&frame::around(lines), &[]);
    let Some(policy) = outcome.policy else {
        return vec![Said {
            sources,
            found: outcome.diagnostics,
            built: None,
        }];
    };
    let lines = lines.lines();
    lines
        .filter_map(|line| of_a_packet(line, &policy))
        .collect()
}

fn of_a_packet(line: &str, policy: &Policy) -> Option<Said> {
    let mut sources = SourceMap::default();
    let source = sources.add("packet", line);
    let whole = Span {
        source,
        start: 0,
        end: u32::try_from(line.len()).unwrap(),
    };
    let error = match sockc_grammar::parse_packet(&sources, source) {
        Ok(packet) => *text::read(&packet, policy, whole).err()?,
        Err(mistakes) => mistakes.into_iter().next()?,
    };
    Some(Said {
        sources,
        found: vec![error],
        built: None,
    })
}
