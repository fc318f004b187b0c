//! The only place that prints: results on standard output, diagnostics and refusals on standard error.
//!
//! A reader that goes away (EPIPE) ends the printing, not the work. Not here: what is printed.

pub(crate) mod columns;
pub(crate) mod count;
mod said;
mod stream;
pub(crate) mod terminal;
pub(crate) mod watch;

use std::collections::BTreeMap;
use std::env;
use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::mem;
use std::panic::PanicHookInfo;
use std::thread;

use serde::Serialize;
use sockc_compiler::observer::Observer;
use sockc_grammar::diagnostic::Diagnostic;
use sockc_grammar::render::render;
use sockc_grammar::source::SourceMap;

use crate::cli::suggested;
use crate::exit::Exit;
use said::Said;
use watch::Watch;

/// Where a verb puts what it has to say.
#[derive(Debug)]
pub(crate) struct Output {
    json: bool,
    /// Whether nothing is shown of what is said: somebody counts it.
    silent: bool,
    color: Colors,
    watch: Watch,
    /// What was said, for a command that ends without a result.
    said: Said,
    /// Where commands that messages suggest are to work.
    works: suggested::Place,
    /// What the errors and notes of this time are about, where that is not what the command was asked about.
    place: Option<String>,
    /// The first error on standard output; nothing is written after it.
    broken: Option<io::Error>,
}

/// How the command is to print.
#[derive(Debug)]
pub(crate) struct Manner {
    /// Results as JSON.
    pub(crate) json: bool,
    /// Whether in colour; `None` where that is for a terminal to say.
    pub(crate) color: Option<bool>,
    /// Whether to say how long each stage took.
    pub(crate) verbose: bool,
    /// Where the command was told to work.
    pub(crate) works: suggested::Place,
}

/// What is coloured.
#[derive(Clone, Copy, Debug)]
struct Colors {
    messages: bool,
    results: bool,
}

impl Output {
    /// Says how to print.
    pub(crate) fn new(manner: Manner) -> Self {
        let color = |is_terminal: bool| {
            manner.color.unwrap_or_else(|| {
                let unwanted = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
                !unwanted && is_terminal
            })
        };
        let messages = color(io::stderr().is_terminal());
        let results = color(io::stdout().is_terminal());
        Self {
            json: manner.json,
            silent: false,
            color: Colors { messages, results },
            watch: Watch::new(manner.verbose),
            said: Said::default(),
            works: manner.works,
            place: None,
            broken: None,
        }
    }

    /// One that shows nothing.
    pub(crate) fn silent() -> Self {
        let manner = Manner {
            json: true,
            color: Some(false),
            verbose: false,
            works: suggested::Place::default(),
        };
        Self {
            silent: true,
            ..Self::new(manner)
        }
    }

    /// Keeps no longer what was said: for a command that goes on, and ends without a result.
    pub(crate) fn forget_said(&mut self) {
        self.said.forget();
    }

    /// How many errors were said that are no diagnostics.
    pub(crate) fn errors(&self) -> u64 {
        u64::try_from(self.said.errors()).unwrap_or(u64::MAX)
    }

    /// Does some work whose errors and notes are about a place, which each begins with.
    pub(crate) fn about<T>(&mut self, place: String, work: impl FnOnce(&mut Self) -> T) -> T {
        let before = self.place.replace(place);
        let done = work(self);
        self.place = before;
        done
    }

    /// A message, with the place that it is about.
    fn placed(&self, message: impl Display) -> String {
        let place = self.place.iter();
        let words: String = place.map(|place| format!("{place}: ")).collect();
        harmless(&self.suggested(&format!("{words}{message}")))
    }

    /// A message with the commands that it suggests as they have to be written here.
    pub(crate) fn suggested(&self, message: &str) -> String {
        suggested::on(message, &self.works)
    }

    /// From here on suggested commands work in another network namespace, which words name.
    pub(crate) fn suggests_elsewhere(&mut self) {
        self.works = mem::take(&mut self.works).without_netns();
    }

    /// Who is told of the stages.
    pub(crate) fn watch(&mut self) -> &mut Watch {
        &mut self.watch
    }

    /// Whether results are to be JSON.
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// Whether results for a person are to be coloured.
    pub(crate) fn colors_results(&self) -> bool {
        self.color.results
    }

    /// Whether whoever read the results went away.
    pub(crate) fn is_broken(&self) -> bool {
        self.broken.is_some()
    }

    /// Whether results go to a terminal.
    pub(crate) fn is_terminal(&self) -> bool {
        io::stdout().is_terminal()
    }

    /// A line of a result.
    pub(crate) fn line(&mut self, text: impl Display) {
        self.bytes(format!("{text}\n").as_bytes());
    }

    /// A result as it is.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        if self.broken.is_none() {
            let mut stdout = io::stdout().lock();
            self.broken = stdout.write_all(bytes).and_then(|()| stdout.flush()).err();
        }
    }

    /// Messages of another command as they are.
    pub(crate) fn message_bytes(&mut self, bytes: &[u8]) {
        let mut stderr = io::stderr().lock();
        // There is nowhere to report that it is gone.
        let _ = stderr.write_all(bytes).and_then(|()| stderr.flush());
    }

    /// Says no more of this command: another one has said all in its place.
    pub(crate) fn passed_on(&mut self) {
        self.said.answered = true;
        self.watch = Watch::new(false);
    }

    /// A result as JSON, with the diagnostics that came before it.
    pub(crate) fn value(&mut self, value: &impl Serialize) {
        self.said.answered = true;
        let text = serde_json::to_string_pretty(&self.said.answer(value));
        self.json_text(text);
    }

    fn json_text(&mut self, text: serde_json::Result<String>) {
        match text {
            Ok(text) => self.line(text),
            Err(error) => self.broken = Some(error.into()),
        }
    }

    /// Whether an error was said that is no diagnostic.
    pub(crate) fn has_error(&self) -> bool {
        self.said.has_error()
    }

    /// Columns, as wide as their widest cell; the first row is the heading.
    pub(crate) fn table(&mut self, rows: &[Vec<String>]) {
        for line in columns::lines(rows) {
            self.line(line);
        }
    }

    /// Diagnostics for a person: every error, and of each warning and note the first ones.
    pub(crate) fn diagnostics(&mut self, sources: &SourceMap, diagnostics: &[Diagnostic]) {
        if diagnostics.is_empty() {
            return;
        }
        self.keep(sources, diagnostics);
        self.watch.stage("say what was found");
        self.watch.clear();
        let (shown, left_out) = first_of_each(diagnostics);
        say(&render(shown, sources, self.color.messages));
        if !left_out.is_empty() {
            let more: Vec<_> = left_out
                .iter()
                .map(|(code, count)| format!("{count} more {code}"))
                .collect();
            let more = more.join(", ");
            self.note(format!("and {more} (`sockc check --json` lists all)"));
        }
    }

    /// Diagnostics that only JSON tells.
    pub(crate) fn keep(&mut self, sources: &SourceMap, diagnostics: &[Diagnostic]) {
        if self.json {
            self.said.diagnostics(sources, diagnostics);
        }
    }

    /// Why something was not done.
    pub(crate) fn error(&mut self, message: impl Display) {
        self.error_about(message, &[]);
    }

    /// Why something was not done, and what that is about, by name.
    pub(crate) fn error_about(&mut self, message: impl Display, about: &[(&'static str, String)]) {
        let message = self.placed(message);
        self.say(&format!("error: {message}"));
        self.said.error(message);
        self.said.about(about);
    }

    /// Something worth knowing that is no result.
    pub(crate) fn note(&mut self, message: impl Display) {
        let message = self.placed(message);
        self.say(&format!("note: {message}"));
        self.said.note(message);
    }

    fn say(&self, text: &str) {
        if !self.silent {
            say(text);
        }
    }

    /// Something that is shown before a question, as it is.
    pub(crate) fn aside(&mut self, text: &str) {
        say(text);
    }

    /// Whether somebody is there to answer a question.
    pub(crate) fn can_ask(&self) -> bool {
        io::stdin().is_terminal() && io::stderr().is_terminal()
    }

    /// Whether somebody reads what is printed, and can type.
    pub(crate) fn is_on_terminal(&self) -> bool {
        io::stdin().is_terminal() && io::stdout().is_terminal()
    }

    /// Asks for consent where somebody can answer; elsewhere, and with `yes`, it is given.
    pub(crate) fn consent(&mut self, yes: bool, question: impl Display) -> bool {
        if yes || !self.can_ask() {
            return true;
        }
        let mut stderr = io::stderr().lock();
        let asked = write!(stderr, "{question} [y/N] ").and_then(|()| stderr.flush());
        let mut answer = String::new();
        asked.is_ok()
            && io::stdin().read_line(&mut answer).is_ok()
            && matches!(answer.trim(), "y" | "Y" | "yes")
    }

    /// The code to end with: that of the verb, unless the results could not be written.
    pub(crate) fn finish(mut self, exit: Exit) -> Exit {
        if self.json
            && let Some(failure) = self.said.failure(exit)
        {
            let text = serde_json::to_string_pretty(&failure);
            self.json_text(text);
        }
        if let Some(report) = self.watch.report() {
            say(&report);
        }
        match self.broken {
            Some(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                say(&unwritten(exit, &error));
                exit.max(Exit::Refused)
            }
            _ => exit,
        }
    }
}

/// So many warnings of one code are shown to a person.
const MAX_OF_A_CODE: usize = 20;

/// What is shown of diagnostics, and how many of each code are not.
fn first_of_each(
    diagnostics: &[Diagnostic],
) -> (
    impl Iterator<Item = &Diagnostic>,
    BTreeMap<&'static str, usize>,
) {
    let mut seen: BTreeMap<&'static str, usize> = BTreeMap::new();
    let shown: Vec<_> = diagnostics
        .iter()
        .filter(|one| {
            let count = seen.entry(one.code.0).or_default();
            *count += 1;
            one.code.0.starts_with('E') || *count <= MAX_OF_A_CODE
        })
        .collect();
    seen.retain(|code, count| !code.starts_with('E') && *count > MAX_OF_A_CODE);
    for count in seen.values_mut() {
        *count -= MAX_OF_A_CODE;
    }
    (shown.into_iter(), seen)
}

/// Says what is wrong with the command line, or shows the help that was asked for.
pub(crate) fn usage(error: &clap::Error) -> Exit {
    // Nobody is left to tell if this cannot be written.
    let _ = error.print();
    if !error.use_stderr() {
        return Exit::Done;
    }
    let text = error.to_string();
    let first = text.lines().next().unwrap_or_default();
    alone(Exit::Usage, first.trim_start_matches("error: "));
    Exit::Usage
}

/// Tells programs of an error that no verb can tell them of, where JSON is asked for.
pub(crate) fn alone(exit: Exit, error: &str) {
    if env::args_os().any(|argument| argument == "--json") {
        let mut stdout = io::stdout().lock();
        let _ = writeln!(stdout, "{:#}", said::alone(exit, error));
    }
}

/// What a panic says.
pub(crate) fn bug(info: &PanicHookInfo<'_>) {
    // Nobody would see it on a screen that goes away.
    terminal::give_back();
    let message = info.payload_as_str().unwrap_or("no message");
    let place = info.location().map(ToString::to_string).unwrap_or_default();
    let thread = thread::current();
    let thread = thread.name().unwrap_or("unnamed");
    say(&format!(
        "error: this is a bug in sockc: {message} ({place}, thread {thread})\n  \
         please report it together with the policy and the command line"
    ));
}

/// Writes to standard error. There is nowhere to report that it is gone.
/// A message without what a terminal would take for a command: files that we did not write may be quoted in it.
pub(crate) fn harmless(message: &str) -> String {
    let mut text = String::with_capacity(message.len());
    for letter in message.chars() {
        if letter.is_control() && !matches!(letter, '\n' | '\t') {
            text.extend(letter.escape_default());
        } else {
            text.push(letter);
        }
    }
    text
}

/// A text between quotes, as the language writes one: what could end it, or command a terminal, is written with a backslash.
pub(crate) fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for letter in text.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            _ if letter.is_control() => quoted.extend(letter.escape_default()),
            _ => quoted.push(letter),
        }
    }
    quoted.push('"');
    quoted
}

/// What is said where the results of a verb could not be written. Whoever reads only the code must not take what was done for
/// refused.
fn unwritten(exit: Exit, error: &io::Error) -> String {
    let done = match exit {
        Exit::Done => "the command was carried out, and ",
        _ => "",
    };
    format!("error: {done}its results cannot be written to standard output: {error}")
}

fn say(text: &str) {
    let mut stderr = io::stderr().lock();
    let _ = writeln!(stderr, "{}", text.trim_end_matches('\n'));
}

#[cfg(test)]
mod tests {
    use super::*;
    use sockc_grammar::diagnostic::Code;
    use sockc_grammar::source::Span;

    #[test]
    fn what_is_quoted_commands_no_terminal() {
        assert_eq!(
            harmless("a\u{1b}[2J\u{9b}31m\tb\r\n"),
            "a\\u{1b}[2J\\u{9b}31m\tb\\r\n"
        );
    }

    #[test]
    fn a_quoted_text_ends_where_it_ends() {
        assert_eq!(quoted("no office"), "\"no office\"");
        assert_eq!(
            quoted("no \"office\" \\\n\u{1b}"),
            "\"no \\\"office\\\" \\\\\\n\\u{1b}\""
        );
        assert_ne!(quoted("a\" \"b"), ["a", "b"].map(quoted).join(" "));
    }

    #[test]
    fn of_each_warning_the_first_are_shown_and_of_errors_all() {
        let source = SourceMap::default().add("a.sk", "");
        let span = Span {
            source,
            start: 0,
            end: 0,
        };
        let warning = |code| Diagnostic::warning(Code(code), "", span, "");
        let mut diagnostics = vec![warning("W0601"); 25];
        diagnostics.push(warning("W0602"));
        diagnostics.extend(vec![Diagnostic::error(Code("E0203"), "", span, ""); 30]);
        let (shown, left_out) = first_of_each(&diagnostics);
        let codes: Vec<_> = shown.map(|one| one.code.0).collect();
        let count = |code| codes.iter().filter(|one| **one == code).count();
        assert_eq!(
            (count("W0601"), count("W0602"), count("E0203")),
            (20, 1, 30)
        );
        assert_eq!(left_out, BTreeMap::from([("W0601", 5)]));
    }
}
