//! The manual says what is true: every example in `docs/` compiles, or is refused with the code that it names, and
//! every diagnostic has a page.
//!
//! What the words after a fence mean stands in `tests/manual/page.rs`.

mod frame;
mod mistakes;
mod page;
mod said;

use std::collections::BTreeSet;
use std::path::Path;

use sockc_compiler::codes;
use sockc_grammar::diagnostic::Severity;

use crate::repository::{files_below, files_in, root, stem};
use page::{Block, Kind, Page};
use said::{Said, said_of};

/// Codes whose bad example is shown and not run: a policy that large would take too long in every run. Stores with a
/// small budget are tested next to the code.
const SHOWN_ONLY: &[&str] = &["E0228", "E0402", "N0621"];

fn pages() -> impl Iterator<Item = Page> {
    files_below("docs", ".md")
        .into_iter()
        .map(|name| Page::read(&name))
}

fn report(broken: &[String]) {
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

#[test]
fn every_example_is_what_it_says() {
    let mut broken = Vec::new();
    let mut seen = 0;
    for page in pages() {
        for block in &page.blocks {
            broken.extend(judge(block, &page));
            seen += usize::from(block.kind != Kind::Shown);
        }
    }
    assert!(seen > 100, "{seen} examples");
    report(&broken);
}

/// What is wrong with an example.
fn judge(block: &Block, page: &Page) -> Vec<String> {
    let found = match &block.kind {
        Kind::Policy | Kind::Rules | Kind::Packets | Kind::Guard => said_of(block, page),
        kind if kind.code().is_some() => return mistakes::judge(block, page),
        Kind::Unknown(info) => return vec![format!("{}: what is `{info}`?", block.place)],
        _ => return Vec::new(),
    };
    let wrong = found.iter().flat_map(wrong);
    wrong
        .map(|found| format!("{}: {found}", block.place))
        .collect()
}

/// Errors and warnings: a note says that nothing is wrong.
fn wrong(said: &Said) -> impl Iterator<Item = String> {
    let wrong = said
        .found
        .iter()
        .filter(|one| one.severity != Severity::Note && mistakes::counts(one.code.0, &[]));
    wrong.map(|one| {
        let line = said.sources.place(one.primary.span).0;
        format!("{} in line {line}: {}", one.code.0, one.message)
    })
}

/// Every code that the program can say.
fn codes() -> BTreeSet<&'static str> {
    codes::all().into_iter().map(|(code, _)| code.0).collect()
}

#[test]
fn every_code_has_a_page_and_the_reverse() {
    let names = files_in("docs/codes", ".md");
    let pages: BTreeSet<&str> = names.iter().map(|name| stem(name)).collect();
    let codes = codes();
    let missing: Vec<_> = codes.difference(&pages).collect();
    let unknown: Vec<_> = pages.difference(&codes).collect();
    assert!(
        missing.is_empty() && unknown.is_empty(),
        "without a page in docs/codes: {missing:?}; of no code: {unknown:?}"
    );
}

#[test]
fn every_code_of_the_sources_is_in_a_table() {
    let codes = codes();
    let mut strays = BTreeSet::new();
    for folder in ["grammar/src", "compiler/src"] {
        let names = files_below(folder, ".rs").into_iter();
        for name in names.filter(|name| !name.contains("/tests")) {
            let source = crate::repository::text(&name);
            let code = source
                .lines()
                .filter(|line| !line.trim_start().starts_with("//"));
            let strings = code.flat_map(|line| line.split('"'));
            let strings = strings.filter(|string| is_code(string));
            let unknown = strings.filter(|string| !codes.contains(string));
            strays.extend(unknown.map(|code| format!("{code} in {name}")));
        }
    }
    assert!(strays.is_empty(), "in no table: {strays:?}");
}

/// Whether a text is a code, such as `E0203`.
fn is_code(text: &str) -> bool {
    let digits = text.strip_prefix(['E', 'W', 'N']).unwrap_or_default();
    digits.len() == 4 && digits.chars().all(|digit| digit.is_ascii_digit())
}

#[test]
fn pages_of_codes_have_one_shape() {
    let mut broken = Vec::new();
    let all = codes::all();
    for name in files_in("docs/codes", ".md") {
        let page = Page::read(&name);
        let code = stem(&name);
        let [title, "## What", "## Bad", "## Good"] =
            page.headings.iter().map(String::as_str).collect::<Vec<_>>()[..]
        else {
            broken.push(format!("{name}: its headings are {:?}", page.headings));
            continue;
        };
        let known = all.iter().find(|(known, _)| known.0 == code);
        let known = known.map_or("", |(_, title)| title);
        if title != format!("# {code}: {known}") {
            broken.push(format!(
                "{name}: its title is {title}, in the table it is {known}"
            ));
        }
        let shows = |section: &str, fits: &dyn Fn(&Kind) -> bool| {
            let mut blocks = page.blocks.iter();
            blocks.any(|block| block.section == section && fits(&block.kind))
        };
        let bad = |kind: &Kind| match kind {
            Kind::Shown => SHOWN_ONLY.contains(&code),
            kind => kind.code() == Some(code),
        };
        let good = |kind: &Kind| matches!(kind, Kind::Policy | Kind::Packets);
        if !shows("Bad", &bad) || !shows("Good", &good) {
            broken.push(format!("{name}: no bad example, or no good one"));
        }
    }
    report(&broken);
}

#[test]
fn links_lead_somewhere() {
    let mut broken = Vec::new();
    for page in pages() {
        let folder = root().join(&page.name);
        let folder = folder.parent().unwrap_or(Path::new(""));
        for link in &page.links {
            let file = link.split('#').next().unwrap_or_default();
            if !file.is_empty() && !folder.join(file).exists() {
                broken.push(format!("{}: nothing is at {link}", page.name));
            }
        }
    }
    report(&broken);
}

#[test]
fn the_table_of_contents_has_every_chapter() {
    let contents = Page::read("docs/README.md").links;
    let missing: Vec<String> = files_in("docs", ".md")
        .into_iter()
        .filter_map(|name| name.strip_prefix("docs/").map(str::to_owned))
        .filter(|name| name != "README.md" && !contents.contains(name))
        .map(|name| format!("docs/README.md does not lead to {name}"))
        .collect();
    report(&missing);
}

/// Words of the grammar, each of which the manual must show at work.
#[test]
fn every_word_of_the_language_has_an_example() {
    let grammar = crate::repository::text("grammar/src/policy.pest");
    let is_word = |word: &&str| {
        let letters = |letter: char| letter.is_ascii_lowercase() || "_6".contains(letter);
        // `ms` is a unit of durations, glued to its number.
        word.len() > 1 && word.chars().all(letters) && *word != "ms"
    };
    let words: BTreeSet<&str> = grammar
        .lines()
        .filter(|line| !line.starts_with("//"))
        .flat_map(|line| line.split('"').skip(1).step_by(2))
        .filter(is_word)
        .collect();
    assert!(words.len() > 100, "{words:?}");
    let shown: Vec<Block> = pages().flat_map(|page| page.blocks).collect();
    let apart = |letter: char| !(letter.is_ascii_alphanumeric() || letter == '_');
    let shown: BTreeSet<&str> = shown
        .iter()
        .filter(|block| !matches!(block.kind, Kind::Shown | Kind::Says | Kind::Bad(_)))
        .flat_map(|block| block.text.split(apart))
        .collect();
    let missing: Vec<_> = words.difference(&shown).collect();
    assert!(missing.is_empty(), "without an example: {missing:?}");
}

#[test]
fn the_tables_of_names_are_whole() {
    use sockc_compiler::header_field;
    use sockc_compiler::names::{IcmpKind, services};
    let page = crate::repository::text("docs/names.md");
    let icmp = IcmpKind::Icmp.names().chain(IcmpKind::Icmp6.names());
    let codes = header_field::rows().filter_map(|row| row.names);
    let codes = codes.flat_map(|names| names.table).map(|(name, _)| *name);
    let missing: Vec<&str> = services()
        .chain(codes)
        .chain(icmp)
        .filter(|name| !page.contains(&format!("`{name}`")))
        .collect();
    assert!(missing.is_empty(), "docs/names.md lacks {missing:?}");
}

#[test]
fn the_table_of_commands_is_true() {
    let page = crate::repository::text("docs/commands.md");
    let (now, later) = page.split_once("\n## Later\n").unwrap_or((&page, ""));
    let help = crate::readme::help();
    let verbs: BTreeSet<&str> = help
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_whitespace().next())
        .filter(|verb| *verb != "help")
        .collect();
    assert_eq!(verbs_of(now), verbs, "docs/commands.md, above `Later`");
    let too_late: Vec<_> = verbs_of(later).intersection(&verbs).copied().collect();
    assert!(
        too_late.is_empty(),
        "docs/commands.md: {too_late:?} are there"
    );
}

/// The verbs of the tables on a page.
fn verbs_of(page: &str) -> BTreeSet<&str> {
    page.lines()
        .filter(|line| line.starts_with("| `sockc "))
        .filter_map(|line| line.split(" | ").next())
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .filter_map(|command| command.split([' ', '…']).nth(1))
        .collect()
}
