//! A page of the manual, taken apart: its fenced blocks, its headings and its links.
//!
//! Only what the pages use is read: fences of three backquotes at the beginning of a line, headings with `#`, links
//! with `](`.

use crate::repository::text;

/// What a fenced block is, by the words after its fence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `sk`: a whole policy, without a mistake or a warning.
    Policy,
    /// `sk-rules`: rules and declarations that stand in the frame.
    Rules,
    /// `sk-bad CODE`: a whole policy with this diagnostic and no other.
    Bad(String),
    /// `sk-frame`: what stands around `sk-rules`, and declares the names that packets use.
    Frame,
    /// `sk-later`: a whole policy, refused because it comes in a later version, and for nothing else.
    Later,
    /// `sk-rules-later`: the same for rules in the frame.
    LaterRules,
    /// `packet`: packets in words, one a line.
    Packets,
    /// `packet-bad CODE`: packets in words, each with this diagnostic.
    BadPackets(String),
    /// `file NAME`: a file next to the policies of the page.
    File(String),
    /// `guard`: a guard that the policy before it on the page keeps to.
    Guard,
    /// `guard-bad CODE`: a guard that has this diagnostic with that policy, and no other.
    BadGuard(String),
    /// `says`: the messages of the bad example before it, as a user sees them.
    Says,
    /// `text`, `sh`, `json`: to be looked at only.
    Shown,
    /// Anything else, which is a slip.
    Unknown(String),
}

impl Kind {
    fn of(info: &str) -> Self {
        let (word, rest) = info.split_once(' ').unwrap_or((info, ""));
        let rest = rest.to_owned();
        match word {
            "sk" => Self::Policy,
            "sk-rules" => Self::Rules,
            "sk-bad" => Self::Bad(rest),
            "sk-frame" => Self::Frame,
            "sk-later" => Self::Later,
            "sk-rules-later" => Self::LaterRules,
            "packet" => Self::Packets,
            "packet-bad" => Self::BadPackets(rest),
            "file" => Self::File(rest),
            "guard" => Self::Guard,
            "guard-bad" => Self::BadGuard(rest),
            "says" => Self::Says,
            "text" | "sh" | "json" => Self::Shown,
            _ => Self::Unknown(info.to_owned()),
        }
    }
}

/// The code of what comes in a later version.
const LATER: &str = "E0399";

impl Kind {
    /// The code that a bad example has.
    pub(crate) fn code(&self) -> Option<&str> {
        match self {
            Self::Bad(code) | Self::BadPackets(code) | Self::BadGuard(code) => Some(code),
            Self::Later | Self::LaterRules => Some(LATER),
            _ => None,
        }
    }
}

/// A fenced block.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    /// What it is.
    pub(crate) kind: Kind,
    /// The page and the line of its fence.
    pub(crate) place: String,
    /// What is between the fences.
    pub(crate) text: String,
    /// The heading of the second level that it stands under.
    pub(crate) section: String,
}

/// A page.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    /// Its file, from the repository's root.
    pub(crate) name: String,
    /// Its headings of the first and second level, in order, with their marks.
    pub(crate) headings: Vec<String>,
    /// Its fenced blocks, in order.
    pub(crate) blocks: Vec<Block>,
    /// Where its links lead, as written, without those to other sites.
    pub(crate) links: Vec<String>,
}

impl Page {
    /// Reads a page of the repository.
    pub(crate) fn read(name: &str) -> Self {
        Self::parse(name, &text(name))
    }

    pub(crate) fn parse(name: &str, text: &str) -> Self {
        let mut page = Self {
            name: name.to_owned(),
            headings: Vec::new(),
            blocks: Vec::new(),
            links: Vec::new(),
        };
        let mut open: Option<Block> = None;
        let mut section = String::new();
        for (number, line) in (1..).zip(text.lines()) {
            match (open.take(), line.strip_prefix("```")) {
                (Some(block), Some("")) => page.blocks.push(block),
                (Some(mut block), _) => {
                    block.text.push_str(line);
                    block.text.push('\n');
                    open = Some(block);
                }
                (None, Some(info)) => {
                    open = Some(Block {
                        kind: Kind::of(info),
                        place: format!("{name}:{number}"),
                        text: String::new(),
                        section: section.clone(),
                    });
                }
                (None, None) => {
                    if line.starts_with("# ") || line.starts_with("## ") {
                        page.headings.push(line.to_owned());
                        section = line.trim_start_matches("## ").to_owned();
                    }
                    page.links.extend(links(line));
                }
            }
        }
        assert!(open.is_none(), "{name}: a block is not closed");
        page
    }

    /// Whether it is the page of a diagnostic's code.
    pub(crate) fn is_of_a_code(&self) -> bool {
        self.name.starts_with("docs/codes/")
    }

    /// The files that the page shows next to its policies: name and text.
    pub(crate) fn files(&self) -> Vec<(String, String)> {
        let file = |block: &Block| match &block.kind {
            Kind::File(name) => Some((name.clone(), block.text.clone())),
            _ => None,
        };
        self.blocks.iter().filter_map(file).collect()
    }
}

/// Where the links of a line lead, other sites apart.
fn links(line: &str) -> impl Iterator<Item = String> {
    line.split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next())
        .filter(|link| !link.contains("://"))
        .map(str::to_owned)
}

#[test]
fn a_page_is_taken_apart() {
    let text = "# One\n[two](two.md#there) [site](https://example.net)\n## Two\n```sk-bad E0101\na\nb\n```\n```go\n```\n";
    let page = Page::parse("page.md", text);
    assert_eq!(page.headings, ["# One", "## Two"]);
    assert_eq!(page.links, ["two.md#there"]);
    assert_eq!(page.blocks[0].kind, Kind::Bad("E0101".into()));
    assert_eq!(page.blocks[0].text, "a\nb\n");
    assert_eq!(page.blocks[0].place, "page.md:4");
    assert_eq!(page.blocks[0].section, "Two");
    assert_eq!(page.blocks[1].kind, Kind::Unknown("go".into()));
}
