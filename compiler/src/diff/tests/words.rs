//! What a comparison says, in words.

use super::{between, line};

fn lines(old: &str, new: &str) -> Vec<String> {
    let scope = between(old, new);
    assert_eq!(scope.incomplete, None);
    scope.changes.iter().map(line).collect()
}

const HOST: &str = "
set admins = { 10.20.0.0/16, 192.0.2.7 }
default in drop
established: allow tcp if socket established
ssh: allow tcp from @admins to any:22
web: allow tcp to any:{80, 443}
";

#[test]
fn a_wider_rule_shows_what_it_adds() {
    let new = HOST.replace("from @admins to any:22", "to any:22");
    assert_eq!(
        lines(HOST, &new),
        [
            "drop -> allow: tcp from not @admins to any:22 if no socket established | tcp from 198.51.100.7:40000 to 192.0.2.1:22"
        ]
    );
}
