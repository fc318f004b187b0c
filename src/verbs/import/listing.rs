//! Bindings as `tubectl bindings` shows them: a heading, and below it a protocol, a prefix, a port and a label in each line.
//!
//! Takes what that command printed, with the lines above the heading that it prints too; gives a binding for each line, of
//! one protocol, or every line's mistake. The columns are filled up with blanks on the left, so a label that begins with
//! blanks loses them. Not here: whether two bindings are one.

use super::binding::{self, Binding, Carried, Port};
use super::place::Place;

/// The words of the heading.
const HEADING: [&str; 4] = ["protocol", "prefix", "port", "label"];
/// How the lines above the heading begin.
const ABOVE: [&str; 2] = ["opened dispatcher at ", "Bindings:"];
/// What is printed where there is none.
const NONE: &str = "no bindings matched";

/// Whether a text begins as a listing does.
pub(super) fn is_listing(text: &str) -> bool {
    let first = text.lines().find(|line| !line.trim().is_empty());
    first.is_some_and(|line| is_above(line) || is_heading(line))
}

fn is_heading(line: &str) -> bool {
    line.split_whitespace().eq(HEADING)
}

fn is_above(line: &str) -> bool {
    line == NONE || ABOVE.iter().any(|word| line.starts_with(word))
}

/// Reads a whole listing.
pub(super) fn read(text: &str) -> Result<Vec<Binding>, Vec<(Place, String)>> {
    let (mut found, mut mistakes) = (Vec::new(), Vec::new());
    let mut is_below = false;
    for (number, line) in (1..).zip(text.lines()) {
        if line.trim().is_empty() || (!is_below && is_above(line)) {
            continue;
        }
        if !is_below && is_heading(line) {
            is_below = true;
            continue;
        }
        let place = Place::line(number);
        match row(line, place) {
            Ok(binding) => found.push(binding),
            Err(mistake) => mistakes.push((place, mistake)),
        }
    }
    if mistakes.is_empty() {
        Ok(found)
    } else {
        Err(mistakes)
    }
}

/// Reads a line below the heading.
fn row(line: &str, place: Place) -> Result<Binding, String> {
    let (protocol, rest) = word(line);
    let (prefix, rest) = word(rest);
    let (port, rest) = word(rest);
    let label = rest.trim_start();
    let carried = match protocol {
        "tcp" => Carried::Tcp,
        "udp" => Carried::Udp,
        _ => {
            return Err(format!(
                "`{}` is no line of `tubectl bindings`; write a protocol (tcp or udp), a prefix, a port and a label, and nothing else",
                line.trim()
            ));
        }
    };
    let prefix = binding::prefix(prefix)?;
    let number = port.parse().map_err(|_| {
        format!("the port {port:?} is none; write a number from 1 to 65535, or 0 for every port")
    })?;
    binding::label(label)?;
    Ok(Binding {
        prefix,
        port: Port::of(number),
        carried,
        label: label.to_owned(),
        place,
    })
}

/// The first word of a line, and what comes after it.
fn word(line: &str) -> (&str, &str) {
    let line = line.trim_start();
    line.split_once(' ').unwrap_or((line, ""))
}
