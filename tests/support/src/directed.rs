//! One text for every direction of what processes do.

/// A text in which `DO` stands for the word of a direction. Its lines name a group as the sender; where a group receives,
/// both sides change places.
#[must_use]
pub fn of_direction(text: &str, word: &str) -> String {
    let text = text.replace("DO", word);
    if word != "receive" {
        return text;
    }
    let lines: Vec<String> = text.lines().map(turned).collect();
    let end = if text.ends_with('\n') { "\n" } else { "" };
    lines.join("\n") + end
}

fn turned(line: &str) -> String {
    let Some((head, named)) = line.split_once("from group ") else {
        return line.replacen(" to ", " from ", 1);
    };
    let Some((group, rest)) = named.split_once(" to ") else {
        return format!("{head}to group {named}");
    };
    let (to, tail) = rest.split_at(rest.find(' ').unwrap_or(rest.len()));
    format!("{head}from {to} to group {group}{tail}")
}
