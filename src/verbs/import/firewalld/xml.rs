//! The files of firewalld as elements with places.
//!
//! Takes a text; gives its elements, all of which firewalld knows with all their attributes, or the first mistake. What firewalld
//! refuses is refused: by such a file it does not start as configured. Not here: what elements mean.

use roxmltree::{Document, Node};

use crate::verbs::import::place::Place;

/// A file that was read.
#[derive(Debug)]
pub(super) struct File {
    /// How messages name it.
    pub(super) title: String,
    /// Its place among all that were read.
    pub(super) number: usize,
    /// What it holds.
    pub(super) text: String,
}

/// What is wrong with a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mistake {
    /// The file.
    pub(super) file: String,
    /// Where, if not all of it is meant.
    pub(super) place: Option<Place>,
    /// What is wrong, and what to do.
    pub(super) said: String,
}

/// An element that firewalld knows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    pub(super) name: &'static str,
    /// The elements that it may stand in.
    pub(super) inside: &'static [&'static str],
    pub(super) required: &'static [&'static str],
    pub(super) optional: &'static [&'static str],
}

/// An element by its name, and the names of what it stands in, has to have and may have.
pub(super) const fn known(
    name: &'static str,
    inside: &'static [&'static str],
    required: &'static [&'static str],
    optional: &'static [&'static str],
) -> Known {
    Known {
        name,
        inside,
        required,
        optional,
    }
}

/// Where something stands, in words, with what stands there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Spot {
    /// The order of what was read.
    pub(super) order: usize,
    /// The file and the line.
    pub(super) place: String,
    /// What stands there.
    pub(super) text: String,
}

/// How many lines of a file have an order of their own.
const LINES: usize = 1 << 20;

/// An element.
#[derive(Clone, Copy)]
pub(super) struct Element<'a> {
    node: Node<'a, 'a>,
    file: &'a File,
}

/// Reads the one element of a file, with all in it checked.
pub(super) fn read<T>(
    file: &File,
    name: &str,
    known: &[&[Known]],
    read: impl FnOnce(Element<'_>) -> Result<T, Mistake>,
) -> Result<T, Mistake> {
    let document = Document::parse(&file.text).map_err(|error| Mistake {
        file: file.title.clone(),
        place: Some(place(error.pos())),
        said: format!("this is no XML, or it is cut ({error})"),
    })?;
    let root = Element {
        node: document.root_element(),
        file,
    };
    if root.name() != name {
        let found = root.name();
        return Err(root.mistake(format!(
            "`<{found}>` stands where `<{name}>` belongs; move the file to where firewalld has its like"
        )));
    }
    for node in document.root().descendants().filter(Node::is_element) {
        Element { node, file }.check(known)?;
    }
    read(root)
}

fn place(at: roxmltree::TextPos) -> Place {
    Place {
        line: usize::try_from(at.row).unwrap_or(usize::MAX),
        column: usize::try_from(at.col).ok(),
    }
}

impl<'a> Element<'a> {
    pub(super) fn name(&self) -> &'a str {
        self.node.tag_name().name()
    }

    pub(super) fn attribute(&self, name: &str) -> Option<&'a str> {
        self.node.attribute(name)
    }

    /// An attribute that `check` found there.
    pub(super) fn required(&self, name: &str) -> &'a str {
        self.attribute(name).unwrap_or_default()
    }

    pub(super) fn is_yes(&self, name: &str) -> bool {
        let value = self.attribute(name).map(str::to_ascii_lowercase);
        matches!(value.as_deref(), Some("yes" | "true"))
    }

    pub(super) fn children(&self) -> impl Iterator<Item = Element<'a>> + use<'a> {
        let file = self.file;
        let children = self.node.children().filter(Node::is_element);
        children.map(move |node| Element { node, file })
    }

    /// The text of the first child of this name.
    pub(super) fn text_of(&self, name: &str) -> Option<String> {
        let child = self.children().find(|child| child.name() == name)?;
        child.node.text().map(|text| joined(text.trim()))
    }

    /// The text of this one.
    pub(super) fn text(&self) -> &'a str {
        self.node.text().unwrap_or_default().trim()
    }

    pub(super) fn mistake(&self, said: String) -> Mistake {
        let document = self.node.document();
        Mistake {
            file: self.file.title.clone(),
            place: Some(place(document.text_pos_at(self.node.range().start))),
            said,
        }
    }

    /// Where it stands, with all that it holds.
    pub(super) fn spot(&self) -> Spot {
        self.spot_of(&self.file.text[self.node.range()])
    }

    /// Where it begins, with its own attributes only.
    pub(super) fn head(&self) -> Spot {
        let text = &self.file.text[self.node.range()];
        let end = text.find('>').map_or(text.len(), |end| end + 1);
        self.spot_of(&text[..end])
    }

    fn spot_of(&self, text: &str) -> Spot {
        let document = self.node.document();
        let line = place(document.text_pos_at(self.node.range().start)).line;
        Spot {
            order: self.file.number * LINES + line.min(LINES - 1),
            place: format!("{} line {line}", self.file.title),
            text: joined(text),
        }
    }

    /// Whether firewalld takes it where it stands, as it is.
    fn check(&self, known: &[&[Known]]) -> Result<(), Mistake> {
        let name = self.name();
        let mut all = known.iter().copied().flatten();
        let Some(known) = all.find(|known| known.name == name) else {
            return Err(self.mistake(format!("`<{name}>` is not known here; take it out")));
        };
        let parent = self.node.parent_element();
        let inside = parent.map(|parent| parent.tag_name().name());
        if inside.is_some_and(|inside| !known.inside.contains(&inside)) {
            let inside = inside.unwrap_or_default();
            return Err(self.mistake(format!(
                "`<{name}>` stands in `<{inside}>`, where it means nothing; move it"
            )));
        }
        let missing = known.required.iter();
        if let Some(missing) = missing.copied().find(|one| self.attribute(one).is_none()) {
            return Err(self.mistake(format!("`<{name}>` has no `{missing}`; add it")));
        }
        let is_known = |one: &str| known.required.contains(&one) || known.optional.contains(&one);
        let other = self.node.attributes().find(|one| !is_known(one.name()));
        match other {
            Some(other) => Err(self.mistake(format!(
                "`<{name}>` has an attribute `{}`, which is not known here; take it out",
                other.name()
            ))),
            None => Ok(()),
        }
    }
}

/// A text in one line.
fn joined(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
