//! Walks through a text statement by statement: which rule to ask for, blocks, and the way on after a mistake.
//!
//! The way on: the next line that begins a statement, or the `}` that closes the block. Not here: what to say of a
//! mistake (`mistake.rs`), and the nodes (`Builder`).

use pest::Parser;
use pest::error::{ErrorVariant, InputLocation};

use super::ahead::Ahead;
use super::expected::expected;
use super::opening::opening;
use super::pieces::{Pieces, pieces};
use super::plain;
use super::repair;
use super::resume::{InBlock, resume};
use super::{Builder, Grammar, Node, Nodes, Rule};
use crate::ast::{Packet, Scope, Statement};
use crate::codes;
use crate::diagnostic::Diagnostic;
use crate::mistake::{self, Expected, Failure, Foreign};
use crate::outline::Outline;
use crate::scan;
use crate::source::{SourceId, Span, Spanned};
use crate::vocabulary;

/// How many mistakes are said before the rest of a text is left unread.
const MAX_MISTAKES: usize = 256;

/// What the formatter prints, in the order of the text.
#[derive(Debug)]
pub(crate) enum Item {
    /// A statement on its own.
    Statement(Pieces),
    /// `for … {`
    Open(Pieces),
    /// The `}` of a block, at this offset.
    Close(usize),
}

/// What came out of a text.
#[derive(Debug)]
pub(crate) struct Reading {
    /// The statements that could be understood.
    pub(crate) statements: Vec<Spanned<Statement>>,
    /// The mistakes, in the order of the text.
    pub(crate) mistakes: Vec<Diagnostic>,
    /// Everything as pieces.
    pub(crate) items: Vec<Item>,
    /// The comments, in the order of the text.
    pub(crate) comments: Vec<(usize, usize)>,
}

/// Reads a whole file; `with_items` for the formatter.
pub(crate) fn read(text: &str, source: SourceId, with_items: bool) -> Reading {
    if let Some((what, start, end)) = mistake::of_another_tool(text) {
        return foreign(source, what, start, end);
    }
    let mut outline = Outline::of(text);
    let plain = outline.take_plain();
    // The formatter's pieces come from the grammar alone.
    let ahead = match with_items {
        true => Ahead::nothing(),
        false => Ahead::of(text, &plain, &outline, source),
    };
    let mut driver = Driver {
        text,
        plain,
        ahead,
        source,
        outline,
        nodes: Nodes::default(),
        at: if text.starts_with('\u{feff}') { 3 } else { 0 },
        before: None,
        blocks: vec![Block::default()],
        mistakes: Vec::new(),
        items: with_items.then(Vec::new),
    };
    driver.run();
    driver.finish()
}

/// A file of another tool: one mistake says so, in place of one for each line.
fn foreign(source: SourceId, found: Foreign, start: usize, end: usize) -> Reading {
    let mistake = Diagnostic::error(
        codes::FOREIGN_FILE,
        format!("this is {}, and no policy of sockc", found.what),
        Span::between(source, start, end),
        "the line that tells",
    )
    .help(found.remedy);
    Reading {
        statements: Vec::new(),
        mistakes: vec![mistake],
        items: Vec::new(),
        comments: Vec::new(),
    }
}

/// Reads a packet in words and nothing after it.
pub(crate) fn read_packet(text: &str, source: SourceId) -> Result<Packet, Vec<Diagnostic>> {
    let mut outline = Outline::of(text);
    let plain = outline.take_plain();
    let mut nodes = Nodes::default();
    if let Some(deep) = outline.deep.first() {
        return Err(vec![too_deep(source, *deep)]);
    }
    let start = scan::skip(text, 0);
    let mut builder = Builder::new(source, start);
    let plain = scan::rest(&plain, start);
    let packet = match Grammar::parse(Rule::whole_packet, plain) {
        Ok(pairs) => nodes
            .take(plain, pairs)
            .and_then(|node| builder.packet(&node)),
        Err(error) => {
            let failure = Failure {
                packet: true,
                ..failure(text, source, &outline, start, &error)
            };
            let repaired = repair::repaired(scan::rest(text, start), repair::Whole::Packet, text);
            let mistake = mistake::explain(&failure);
            builder.mistakes.push(remedied(mistake, repaired));
            None
        }
    };
    packet.ok_or(builder.mistakes)
}

/// A block that is open, or the file itself.
#[derive(Default)]
pub(super) struct Block {
    /// Where it begins, where its `{` stands, and what it is for; `None` for the file, and for a head that was wrong.
    pub(super) head: Option<(usize, usize, Scope)>,
    pub(super) statements: Vec<Spanned<Statement>>,
}

pub(super) struct Driver<'t> {
    pub(super) text: &'t str,
    /// The text as the grammar reads it, see [`Outline::take_plain`].
    plain: String,
    ahead: Ahead,
    pub(super) source: SourceId,
    pub(super) outline: Outline,
    /// The nodes of the statement at hand.
    nodes: Nodes,
    pub(super) at: usize,
    /// Where the statement before begins, if it stands in the same block.
    pub(super) before: Option<usize>,
    /// The file, and the blocks that are open.
    pub(super) blocks: Vec<Block>,
    pub(super) mistakes: Vec<Diagnostic>,
    pub(super) items: Option<Vec<Item>>,
}

impl<'t> Driver<'t> {
    fn run(&mut self) {
        loop {
            self.at = scan::skip(self.text, self.at);
            if self.mistakes.len() >= MAX_MISTAKES {
                self.stop();
                return;
            }
            match scan::byte(self.text, self.at) {
                None => return,
                Some(b'}') => self.close(),
                Some(_) => self.statement(),
            }
        }
    }

    fn stop(&mut self) {
        if self.at < self.text.len() {
            let place = Span::between(self.source, self.at, self.at);
            let mistake = Diagnostic::error(
                codes::TOO_MANY,
                format!("{MAX_MISTAKES} mistakes: the rest was not read"),
                place,
                "stopped here",
            );
            self.mistakes
                .push(mistake.help("mend those above, then look again"));
        }
        for block in &mut self.blocks {
            block.head = None;
        }
    }

    fn finish(mut self) -> Reading {
        while self.blocks.len() > 1 {
            if let Some(Block {
                head: Some((_, open, _)),
                ..
            }) = self.blocks.last()
            {
                self.mistakes.push(
                    Diagnostic::error(
                        codes::OPEN_BRACE,
                        "missing `}`",
                        Span::between(self.source, *open, *open + 1),
                        "this block is not closed",
                    )
                    .help("write `}` after the last rule of the block"),
                );
            }
            self.end_block(self.text.len());
        }
        self.mistakes
            .sort_by_key(|mistake| mistake.primary.span.start);
        Reading {
            statements: self.blocks.pop().unwrap_or_default().statements,
            mistakes: self.mistakes,
            items: self.items.unwrap_or_default(),
            comments: self.outline.comments,
        }
    }

    pub(super) fn push(&mut self, start: usize, end: usize, value: Statement) {
        let span = Span::between(self.source, start, end);
        if let Some(block) = self.blocks.last_mut() {
            block.statements.push(Spanned { value, span });
        }
    }

    fn statement(&mut self) {
        let start = self.at;
        let next = self
            .outline
            .next_start(start + 1)
            .unwrap_or(self.text.len());
        if let Some(deep) = self.outline.deep_between(start, next) {
            self.mistakes.push(too_deep(self.source, deep));
            self.at = self.resume(start, deep);
            return;
        }
        let end = self.outline.token_end_before(self.text, next);
        if self.plain_rule(start, end) {
            return;
        }
        let Some(rule) = opening(self.text, start) else {
            self.no_statement(start);
            return;
        };
        self.before = Some(start);
        let mut nodes = std::mem::take(&mut self.nodes);
        let plain = std::mem::take(&mut self.plain);
        let alone = plain.get(start..end).unwrap_or("");
        match parse(rule, alone, &mut nodes).filter(|node| node.end() == alone.len()) {
            Some(node) => self.accept(&node, start),
            None => self.beyond_lines(
                rule,
                start,
                parse(rule, scan::rest(&plain, start), &mut nodes),
                &plain,
            ),
        }
        self.nodes = nodes;
        self.plain = plain;
    }

    /// Takes the statement if it is a plain rule. The formatter's pieces come from the grammar alone.
    fn plain_rule(&mut self, start: usize, end: usize) -> bool {
        if self.items.is_some() {
            return false;
        }
        let rule = self.ahead.take(start).unwrap_or_else(|| {
            let alone = self.plain.get(start..end).unwrap_or("");
            plain::rule(alone, self.source, start).map(Box::new)
        });
        let Some(rule) = rule else {
            return false;
        };
        self.before = Some(start);
        self.at = end;
        self.push(start, end, Statement::Rule(rule));
        true
    }

    /// Text that begins no statement. Indented beyond the statement before, it is the rest of that one, whose beginning
    /// was damaged: then all lines as far in are the same mistake.
    fn no_statement(&mut self, start: usize) {
        let column = scan::column(self.text, start);
        let before = self
            .before
            .map(|before| scan::column(self.text, before))
            .filter(|&before| before < column && scan::first_on_line(self.text, start));
        let last_end = match before {
            Some(_) => self.outline.token_end_before(self.text, start),
            None => start,
        };
        let mistake = mistake::no_statement(self.text, self.source, start, last_end);
        let mistake = self.with_remedy(mistake, start);
        self.mistakes.push(mistake);
        self.at = self.resume_at(before.unwrap_or(column), start, start);
    }

    /// A statement that does not end where the next line begins one: another follows on its line, it holds a word that
    /// begins statements, or it is wrong.
    fn beyond_lines(&mut self, rule: Rule, start: usize, parsed: Option<Node<'_>>, plain: &str) {
        match parsed {
            Some(node) if self.is_complete(rule, start, start + node.end()) => {
                self.accept(&node, start);
            }
            parsed => {
                let end = parsed.map_or(start, |node| start + node.end());
                self.broken(rule, start, end, plain);
            }
        }
    }

    /// The mistake with the statement as it must be written, if the slip is a known one.
    fn with_remedy(&self, mistake: Diagnostic, start: usize) -> Diagnostic {
        let next = self.outline.next_start(start + 1);
        let end = next.map_or(self.text.len(), |next| {
            self.outline.token_end_before(self.text, next)
        });
        let line_end = scan::line_end(self.text, start);
        // A statement of several lines is tried as a whole, one that was cut off as its line.
        let texts = [
            start..end,
            start..line_end,
            scan::line_start(self.text, start)..line_end,
        ];
        let texts = texts.map(|range| self.text.get(range).unwrap_or("").trim_start());
        // A line that begins with `log` goes on with the statement before, which is as it should be.
        let broke = scan::line_start(self.text, mistake.primary.span.start as usize);
        let line = self.text.get(broke..scan::line_end(self.text, broke));
        let line = line.unwrap_or("").trim_start();
        let texts = match broke > start && scan::word(line, 0) == "log" {
            true => vec![line],
            false => texts.to_vec(),
        };
        let whole = repair::Whole::Statement;
        let repaired = texts
            .into_iter()
            .find_map(|text| repair::repaired(text, whole, self.text));
        remedied(mistake, repaired)
    }

    /// Whether the statement that begins at `start` may end at `end`: what follows is no part of it.
    fn is_complete(&self, rule: Rule, start: usize, end: usize) -> bool {
        let next = scan::skip(self.text, end);
        match scan::byte(self.text, next) {
            None | Some(b'}') => true,
            Some(_) if rule == Rule::for_head => true,
            Some(_) if scan::begins_statement(self.text, next) => true,
            Some(_) if !scan::first_on_line(self.text, next) => false,
            Some(_) => {
                let word = scan::word(self.text, next);
                let outdented = scan::column(self.text, next) <= scan::column(self.text, start);
                !vocabulary::is_known(word) || (outdented && !vocabulary::continues(word))
            }
        }
    }

    fn accept(&mut self, node: &Node<'_>, start: usize) {
        let end = start + node.end();
        self.at = end;
        let mut builder = Builder::new(self.source, start);
        if node.as_rule() == Rule::for_head {
            self.open_block(node, start, &mut builder);
        } else if let Some(statement) = builder.statement(node) {
            self.push(start, end, statement);
        } else if builder.mistakes.is_empty() {
            builder.mistakes.push(mistake::not_understood(Span::between(
                self.source,
                start,
                end,
            )));
        }
        for mut mistake in builder.mistakes {
            let at = mistake.primary.span.start as usize;
            if mistake.code == codes::BAD_ADDRESS && scan::byte(self.text, at) == Some(b':') {
                mistake.code = codes::BLANK_IN_ENDPOINT;
                mistake.message = "blank inside ADDRESS:PORTS".into();
                mistake.primary.text = "ports after a blank".into();
            }
            let slip = matches!(
                mistake.code,
                codes::BLANK_IN_ENDPOINT | codes::BARE_DESTINATION
            );
            self.mistakes.push(if slip {
                self.with_remedy(mistake, start)
            } else {
                mistake
            });
        }
        if let Some(items) = &mut self.items {
            let pieces = pieces(node, start);
            items.push(if node.as_rule() == Rule::for_head {
                Item::Open(pieces)
            } else {
                Item::Statement(pieces)
            });
        }
    }

    /// Says what is wrong with the statement at `start` and goes on after it.
    fn broken(&mut self, rule: Rule, start: usize, end: usize, plain: &str) {
        let mut failure = self.failure(self.text, plain, start, end);
        let mut at = failure.at;
        // `default in`, and on the next line a rule: its verb was taken for the default's.
        let takes_verb = matches!(rule, Rule::default_line | Rule::expect | Rule::socket_decl);
        let next = self
            .outline
            .next_start(start + 1)
            .filter(|&next| takes_verb && next < at);
        let cut = next.and_then(|next| Some((next, self.text.get(..next)?, plain.get(..next)?)));
        if let Some((next, text, plain)) = cut {
            failure = self.failure(text, plain, start, next);
            at = next;
        }
        let mistake = mistake::explain(&failure);
        let mistake = self.with_remedy(mistake, start);
        self.mistakes.push(mistake);
        self.at = if rule == Rule::for_head {
            self.enter_wrong_block(start, at)
        } else {
            self.resume(start, at)
        };
    }

    /// Where and how the statement at `start` breaks; if it does not, it breaks at `end` for reasons unknown.
    fn failure<'a>(&self, text: &'a str, plain: &str, start: usize, end: usize) -> Failure<'a> {
        match Grammar::parse(Rule::whole_statement, scan::rest(plain, start)) {
            Err(error) => failure(text, self.source, &self.outline, start, &error),
            Ok(_) => Failure {
                text,
                source: self.source,
                start,
                broke: end,
                at: scan::skip(text, end),
                last_end: end,
                expected: Expected::default(),
                packet: false,
            },
        }
    }

    pub(super) fn resume(&self, start: usize, at: usize) -> usize {
        self.resume_at(scan::column(self.text, start), start, at)
    }

    fn resume_at(&self, column: usize, start: usize, at: usize) -> usize {
        let head = self.blocks.last().and_then(|block| block.head.as_ref());
        let block = match head {
            Some((_, open, _)) => InBlock::OpenedAt(*open),
            None if self.blocks.len() > 1 => InBlock::Wrong,
            None => InBlock::No,
        };
        resume(self.text, &self.outline, column, start, at, block)
    }
}

/// The longest text that a remedy shows.
const MAX_SHOWN: usize = 200;

/// The mistake with the text as it must be written for its help; what is left out is told why.
fn remedied(mistake: Diagnostic, repaired: Option<String>) -> Diagnostic {
    // What comes later, or cannot be, is no slip, and another statement would mean something else.
    if [codes::NO_MEANING_YET, codes::UNSEEN].contains(&mistake.code) {
        return mistake;
    }
    let shown = repaired.map(|text| text.split_whitespace().collect::<Vec<_>>().join(" "));
    let Some(shown) = shown.filter(|text| text.len() <= MAX_SHOWN) else {
        return mistake;
    };
    let why = mistake.help.as_deref().unwrap_or("");
    let why = match why.strip_prefix("leave it out: ") {
        Some(why) => format!(": {why}"),
        None => String::new(),
    };
    mistake.help(format!("write `{shown}`{why}"))
}

/// The statement that `text` begins with.
fn parse<'n>(rule: Rule, text: &'n str, nodes: &'n mut Nodes) -> Option<Node<'n>> {
    nodes.take(text, Grammar::parse(rule, text).ok()?)
}

pub(super) fn too_deep(source: SourceId, at: usize) -> Diagnostic {
    Diagnostic::error(
        codes::TOO_DEEP,
        "nested too deeply",
        Span::between(source, at, at + 1),
        "one level too many",
    )
    .help("write several rules instead")
}

fn failure<'t>(
    text: &'t str,
    source: SourceId,
    outline: &Outline,
    start: usize,
    error: &pest::error::Error<Rule>,
) -> Failure<'t> {
    let broke = start
        + match error.location {
            InputLocation::Pos(at) | InputLocation::Span((at, _)) => at,
        };
    let expected = match &error.variant {
        ErrorVariant::ParsingError { positives, .. } => expected(positives),
        ErrorVariant::CustomError { .. } => Expected::default(),
    };
    Failure {
        text,
        source,
        start,
        broke,
        at: scan::skip(text, broke),
        last_end: outline.token_end_before(text, broke).max(start),
        expected,
        packet: false,
    }
}
