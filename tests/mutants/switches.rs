//! Sources with faults written in as switches.
//!
//! Takes the sources and the faults; gives the texts in which each fault is on where `SOCKC_FAULT` is its number. Not here:
//! where they are written to.

use std::collections::BTreeMap;
use std::path::Path;

use crate::faults::Fault;

/// In the new text of a fault: whether it is on. A fault without it is an expression, which is replaced as a whole.
const FAULT: &str = "FAULT";

/// What every crate with faults gets at the end.
pub(crate) const SWITCH: &str = "
/// Whether a fault is on: written in by the campaign of tests/mutants.
pub fn sockc_fault(number: u32) -> bool {
    static ON: std::sync::OnceLock<u32> = std::sync::OnceLock::new();
    let on = || std::env::var(\"SOCKC_FAULT\").ok().and_then(|text| text.parse().ok());
    *ON.get_or_init(|| on().unwrap_or(0)) == number
}
";

/// The files that have faults, with these written in.
pub(crate) fn sources(root: &Path, faults: &[Fault]) -> Result<BTreeMap<String, String>, String> {
    let mut by_file: BTreeMap<&str, Vec<&Fault>> = BTreeMap::new();
    for fault in faults {
        by_file.entry(fault.file).or_default().push(fault);
    }
    let mut sources = BTreeMap::new();
    for (file, faults) in by_file {
        let text =
            std::fs::read_to_string(root.join(file)).map_err(|error| format!("{file}: {error}"))?;
        let text = written(&text, &faults).map_err(|error| format!("{file}: {error}"))?;
        sources.insert(file.to_owned(), text);
    }
    Ok(sources)
}

/// One text with its faults.
pub(crate) fn written(text: &str, faults: &[&Fault]) -> Result<String, String> {
    let mut places = Vec::with_capacity(faults.len());
    for fault in faults {
        let mut found = text.match_indices(fault.old);
        match (found.next(), found.next()) {
            (Some((at, _)), None) => places.push((at, *fault)),
            _ => return Err(format!("{} does not stand there once", fault.number)),
        }
    }
    places.sort_by_key(|(at, _)| *at);
    let mut result = String::with_capacity(text.len());
    let mut end = 0;
    for (at, fault) in places {
        let between = text.get(end..at);
        result += between.ok_or_else(|| format!("{} shares text with another", fault.number))?;
        result += &switched(fault);
        end = at + fault.old.len();
    }
    Ok(result + &text[end..])
}

fn switched(fault: &Fault) -> String {
    let Fault {
        number, old, new, ..
    } = fault;
    let on = format!("crate::sockc_fault({number})");
    if new.contains(FAULT) {
        return new.replace(FAULT, &on);
    }
    format!("(if {on} {{ {new} }} else {{ {old} }})")
}
