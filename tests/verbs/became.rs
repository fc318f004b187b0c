//! What rules of other tools became: lines of the policy, and what holds of it.

use serde_json::Value;

use super::{Folder, run};

/// Checks that lines hold of the policy, which is canonical.
pub(crate) fn holds(folder: &Folder, said: &Value, held: &str) {
    let text = said["text"].as_str().unwrap();
    let file = folder.file("edge.sk", text);
    assert_eq!(run(&["fmt", "--check", &file]).code, Some(0), "{text}");
    let file = folder.file("held.sk", &format!("{text}\n{held}"));
    let checked = run(&["check", &file]);
    assert_eq!(checked.code, Some(0), "{text}{}", checked.stderr);
}

/// Checks that lines stand in the policy.
pub(crate) fn has(said: &Value, lines: &[&str]) {
    let text = said["text"].as_str().unwrap();
    for line in lines {
        assert!(text.contains(&format!("\n{line}\n")), "{line}: {text}");
    }
}
